"""Latents <-> ids: finite scalar (FSQ), lookup-free (LFQ) and binary spherical (BSQ) quantization behind one face.

base.py     what every quantizer promises
fsq.py, lfq.py, bsq.py    one family each
entropy.py  the exact entropies of independent bits that LFQ and BSQ are trained with
usage.py    which codes are used, and how evenly
"""

from typing import TypeAlias

from tokenizer.quantize.base import Quantized, Quantizer
from tokenizer.quantize.bsq import BSQ, BSQConfig
from tokenizer.quantize.fsq import FSQ, FSQConfig
from tokenizer.quantize.lfq import LFQ, LFQConfig
from tokenizer.quantize.usage import Usage

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "BSQConfig",
    "FSQConfig",
    "LFQConfig",
    "Quantized",
    "Quantizer",
    "QuantizerConfig",
    "Usage",
    "make_quantizer",
]

QuantizerConfig: TypeAlias = FSQConfig | LFQConfig | BSQConfig


def make_quantizer(config: QuantizerConfig) -> Quantizer:
    match config:
        case FSQConfig():
            return FSQ(config)
        case LFQConfig():
            return LFQ(config)
        case BSQConfig():
            return BSQ(config)
