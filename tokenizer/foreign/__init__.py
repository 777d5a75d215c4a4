"""Public tokenizers of others, by the kind that `videogen convert` is given.

base.py   what such a tokenizer is, and strict accounting of its tensors
cosmos/   NVIDIA's Cosmos DV
vidtok/   VidTok, causal, with FSQ
"""

from tokenizer.foreign.base import ForeignKeysError, ForeignTokenizer
from tokenizer.foreign.cosmos.weights import COSMOS
from tokenizer.foreign.vidtok.weights import VIDTOK

__all__ = ["FOREIGN", "ForeignKeysError", "ForeignTokenizer"]

FOREIGN: dict[str, ForeignTokenizer] = {"cosmos": COSMOS, "vidtok": VIDTOK}
