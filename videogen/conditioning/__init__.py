"""Captions for the prior: ids of a small vocabulary trained on the captions, or features of a frozen encoder; for a
converted prior of others, ids of its own tokenizer.

text = make_conditioner(BPEConfig(), captions)          # or EncoderConfig("google/flan-t5-base"), cache=folder
text(["a small red ring drifts left on plain black", ""])  # prior.text.Text: content, mask; "" is no text
files |= text.files()                                   # into a model folder
text = load_conditioner(folder)                         # the same conditioner from it, or a CheckpointError
"""

from videogen.conditioning.base import Conditioner, normalize_text
from videogen.conditioning.config import BPEConfig, EncoderConfig, TextConfig, TokenizerFileConfig
from videogen.conditioning.folder import load_conditioner, make_conditioner

__all__ = [
    "BPEConfig",
    "Conditioner",
    "EncoderConfig",
    "TextConfig",
    "TokenizerFileConfig",
    "load_conditioner",
    "make_conditioner",
    "normalize_text",
]
