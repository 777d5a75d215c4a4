"""Public tokenizers of others, by the kind that `videogen convert` is given.

layers.py  layers that several of them have
cosmos/    NVIDIA's Cosmos DV
emu3/      the vision tokenizer of Emu3
vidtok/    VidTok, causal, with FSQ
"""

from interfaces.foreign import ForeignKeysError, ForeignTokenizer
from tokenizer.foreign.cosmos.weights import COSMOS
from tokenizer.foreign.emu3.weights import EMU3
from tokenizer.foreign.vidtok.weights import VIDTOK

__all__ = ["FOREIGN", "ForeignKeysError", "ForeignTokenizer"]

FOREIGN: dict[str, ForeignTokenizer] = {"cosmos": COSMOS, "emu3": EMU3, "vidtok": VIDTOK}
