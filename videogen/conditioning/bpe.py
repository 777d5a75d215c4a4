"""Byte-level BPE trained on the captions: captions in any script have ids.

    <pad> 0    the 256 bytes 1..256    merges 257..

Captions are normalized by NFKC, lower case, NFC (lower case can decompose letters). The files are those of a
`transformers` fast tokenizer: `AutoTokenizer.from_pretrained(model / "text")` gives the same ids.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from videogen.checkpoint import Content
from videogen.conditioning.base import Conditioner, normalize_text, pad_ids
from videogen.conditioning.config import BYTES_AND_PAD, BPEConfig
from videogen.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from interfaces.prior import Text

PAD, PAD_ID = "<pad>", 0


class BPEConditioner(Conditioner):
    """Ids of a trained vocabulary, which the prior embeds."""

    features = None

    def __init__(self, config: BPEConfig, tokenizer: "Tokenizer"):
        self.config, self.tokenizer, self.length = config, tokenizer, config.length
        self.vocabulary: int = tokenizer.get_vocab_size()
        tokenizer.encode_special_tokens = True  # "<pad>" in a caption is text
        files = json.dumps(self.files(), sort_keys=True)
        self.fingerprint = hashlib.sha256(files.encode()).hexdigest()

    def __call__(self, captions: Sequence[str]) -> "Text":
        return pad_ids([self.token_ids(caption) for caption in captions], self.length, PAD_ID)

    def token_ids(self, caption: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(normalize_text(caption), add_special_tokens=False).ids
        return ids

    def caption_of(self, ids: Sequence[int]) -> str:
        """The text of these ids on one line; of a caption's own ids, the caption as it was read."""
        return normalize_text(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def files(self) -> dict[str, Content]:
        tokenizer_config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": PAD,
            "padding_side": "right",
            "model_max_length": self.length,
            "split_special_tokens": True,
            "clean_up_tokenization_spaces": False,
        }
        return {
            "text/config.json": {"text": asdict(self.config)},
            "text/tokenizer.json": json.loads(self.tokenizer.to_str()),
            "text/tokenizer_config.json": tokenizer_config,
        }


def train_bpe(config: BPEConfig, captions: Iterable[str]) -> BPEConditioner:
    """Train a vocabulary of at most `config.vocabulary` ids; the order of the captions does not matter."""
    from tokenizers import trainers
    from tokenizers.pre_tokenizers import ByteLevel

    tokenizer = _untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[PAD],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_in_order(captions), trainer)
    return BPEConditioner(config, tokenizer)


def _untrained() -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),  # NFKC can create blanks
            normalizers.Strip(),
        ]
    )
    # With a blank before it, the first word has the same token as elsewhere.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _in_order(captions: Iterable[str]) -> Iterator[str]:
    counts = Counter(map(normalize_text, captions))
    for caption in sorted(counts):
        for _ in range(counts[caption]):
            yield caption


def load_bpe(config: BPEConfig, data: Any, place: str) -> BPEConditioner:
    """The conditioner from the content `data` of `tokenizer.json`; errors call it `place`."""
    tokenizer = read_tokenizer(data, place)
    if tokenizer.token_to_id(PAD) != PAD_ID:
        raise CheckpointError(f"{place}: not a vocabulary of videogen, whose id {PAD_ID} is {PAD}")
    if not BYTES_AND_PAD <= tokenizer.get_vocab_size() <= config.vocabulary:
        raise CheckpointError(
            f"{place}: {tokenizer.get_vocab_size()} ids; expected {BYTES_AND_PAD} to {config.vocabulary}"
        )
    return BPEConditioner(config, tokenizer)


def read_tokenizer(data: Any, place: str) -> "Tokenizer":
    """A tokenizer from the content of its JSON file; errors call it `place`."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(json.dumps(data))
    except Exception as error:  # the library raises plain exceptions
        raise CheckpointError(f"{place}: not a tokenizer ({' '.join(str(error).split())[:200]})") from None
