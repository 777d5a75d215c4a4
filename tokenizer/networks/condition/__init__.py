"""Decoders that are given a caption: it changes how codes are painted, not what they are.

config.py   the settings, by `kind`
layers.py   Film and CrossAttention, which change features by a caption
decoder.py  a decoder with such layers, whose state holds the caption
fixed.py    a tokenizer whose decoder is always given the same caption
"""

from tokenizer.networks.condition.config import ConditionConfig, CrossAttentionConfig, FilmConfig
from tokenizer.networks.condition.decoder import ConditionedSequential, decoder_sequence

__all__ = [
    "ConditionConfig",
    "ConditionedSequential",
    "CrossAttentionConfig",
    "FilmConfig",
    "decoder_sequence",
]
