"""Latents <-> codes: finite scalar (FSQ), lookup-free (LFQ) and binary spherical (BSQ) quantization.

base.py     what every quantizer promises, and the base of those with levels per dimension
fsq.py, lfq.py, bsq.py  one family each
entropy.py  exact entropies of independent bits, the training losses of LFQ and BSQ
usage.py    how many codes are used, and how evenly
"""

from typing import TypeAlias

from tokenizer.quantize.base import Quantized, Quantizer
from tokenizer.quantize.bsq import BSQ, BSQConfig
from tokenizer.quantize.fsq import FSQ, FSQConfig
from tokenizer.quantize.lfq import LFQ, LFQConfig
from tokenizer.quantize.usage import Usage, batch_perplexity

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
    "batch_perplexity",
    "make_quantizer",
]

QuantizerConfig: TypeAlias = FSQConfig | LFQConfig | BSQConfig  # str(config) names it for `videogen info`


def make_quantizer(config: QuantizerConfig) -> Quantizer:
    match config:
        case FSQConfig():
            return FSQ(config)
        case LFQConfig():
            return LFQ(config)
        case BSQConfig():
            return BSQ(config)
