"""Captions in the ids of a public language model, by its own `tokenizer.json`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from videogen.checkpoint import Content
from videogen.conditioning.base import Conditioner, normalize_text, pad_ids
from videogen.conditioning.bpe import read_tokenizer
from videogen.conditioning.config import CAPTION, TokenizerFileConfig
from videogen.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from interfaces.prior import Text


class TokenizerFileConditioner(Conditioner):
    """A blank caption has no ids, not even those of the words around it. A long one is cut, the tokens around it not.

    Names of special tokens in a caption are read as text.
    """

    features = None

    def __init__(self, config: TokenizerFileConfig, tokenizer: "Tokenizer", first: list[int], last: list[int]):
        self.config, self.tokenizer, self.first, self.last = config, tokenizer, first, last
        self.length, self.vocabulary = config.length, config.vocabulary
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        files = json.dumps(self.files(), sort_keys=True)
        self.fingerprint = hashlib.sha256(files.encode()).hexdigest()

    def __call__(self, captions: Sequence[str]) -> "Text":
        room = self.length - len(self.first) - len(self.last)
        return pad_ids([self._around(self._words(caption)[:room]) for caption in captions], self.length)

    def token_ids(self, caption: str) -> list[int]:
        return self._around(self._words(caption))

    def files(self) -> dict[str, Content]:
        return {
            "text/config.json": {"text": asdict(self.config)},
            "text/tokenizer.json": json.loads(self.tokenizer.to_str()),
        }

    def _words(self, caption: str) -> list[int]:
        caption = normalize_text(caption)
        text = self.config.template.replace(CAPTION, caption)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids if caption else []
        return ids

    def _around(self, ids: list[int]) -> list[int]:
        return [*self.first, *ids, *self.last] if ids else []


def load_tokenizer_file(config: TokenizerFileConfig, data: Any, place: str) -> TokenizerFileConditioner:
    """The conditioner from the content `data` of a `tokenizer.json`; errors call it `place`."""
    tokenizer = read_tokenizer(data, place)
    if tokenizer.get_vocab_size() > config.vocabulary:
        raise CheckpointError(f"{place}: {tokenizer.get_vocab_size()} ids; the prior embeds {config.vocabulary}")
    around = []
    for name in (config.first, config.last):
        number = None if name is None else tokenizer.token_to_id(name)
        if name is not None and number is None:
            raise CheckpointError(f"{place}: has no token {name!a}")
        around.append([] if number is None else [number])
    first, last = around
    if config.length <= len(first) + len(last):
        raise CheckpointError(f"{place}: length is {config.length}, which leaves no room for a caption")
    return TokenizerFileConditioner(config, tokenizer, first, last)


def check_ids(conditioner: TokenizerFileConditioner, ids: Mapping[str, int], place: str) -> None:
    """CheckpointError unless these tokens have these ids."""
    for name, number in ids.items():
        if (found := conditioner.tokenizer.token_to_id(name)) != number:
            raise CheckpointError(f"{place}: the id of {name!a} is {found}; that of this model is {number}")
