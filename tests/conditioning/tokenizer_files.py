"""A tokenizer of a public language model, in small: bytes, and tokens with ids of their own."""

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

SPECIAL = {
    "<s>": 0,
    "<eoss>": 8196,
    "<racm3:break>": 8197,
    "<reserved08706>": 8710,
    "<reserved08799>": 8803,
    "<reserved08800>": 8804,
    "<reserved08999>": 9003,
    "<reserved09000>": 9004,
}
FIRST_BYTE = 30_000


def byte_tokenizer(special: Mapping[str, int] = SPECIAL) -> Any:
    """The content of its JSON file: a byte is 30,000 and its value."""
    letters = {letter: FIRST_BYTE + byte for byte, letter in enumerate(letters_of_bytes())}
    tokenizer = Tokenizer(models.BPE(vocab={**special, **letters}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(special))
    return json.loads(tokenizer.to_str())


def letters_of_bytes() -> list[str]:
    """The letter that stands for each byte: printable ones for themselves, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    letters = [chr(byte if byte in plain else next(others)) for byte in range(256)]
    assert sorted(letters) == sorted(ByteLevel.alphabet())
    return letters
