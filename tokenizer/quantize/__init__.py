"""Latents <-> codes: scalar and binary quantization, learned codebooks, and combinators over any of them.

base.py       what every quantizer promises, and the base of those with levels per dimension
config.py     the settings of all families, and those of the combinators
fsq.py, lfq.py, bsq.py          families without a codebook, one each
codebook.py   what learned codebooks share; nearest.py finds the nearest code in blocks
vq.py, ibq.py, soft.py          families that learn their codes, one each
first_codes.py, revival.py, terms.py, anneal.py   how codes begin, are revived, kept apart and cooled
assignment.py, gumbel.py        soft assignments of all tokens to all codes, in blocks, with or without noise
entropy.py    exact entropies of independent bits, the training losses of LFQ and BSQ
usage.py      how many codes are used, and how evenly
"""

from tokenizer.quantize.base import Quantized, Quantizer
from tokenizer.quantize.bsq import BSQ, BSQConfig
from tokenizer.quantize.config import DualConfig, MultiHeadConfig, ProductConfig, QuantizerConfig, ResidualConfig
from tokenizer.quantize.fsq import FSQ, FSQConfig
from tokenizer.quantize.ibq import IBQ, IBQConfig
from tokenizer.quantize.lfq import LFQ, LFQConfig
from tokenizer.quantize.revival import Revival
from tokenizer.quantize.soft import SoftVQ, SoftVQConfig
from tokenizer.quantize.terms import Terms
from tokenizer.quantize.usage import Usage, batch_perplexity
from tokenizer.quantize.vq import VQ, VQConfig

__all__ = [
    "BSQ",
    "FSQ",
    "IBQ",
    "LFQ",
    "VQ",
    "BSQConfig",
    "DualConfig",
    "FSQConfig",
    "IBQConfig",
    "LFQConfig",
    "MultiHeadConfig",
    "ProductConfig",
    "Quantized",
    "Quantizer",
    "QuantizerConfig",
    "ResidualConfig",
    "Revival",
    "SoftVQ",
    "SoftVQConfig",
    "Terms",
    "Usage",
    "VQConfig",
    "batch_perplexity",
    "make_quantizer",
]


def make_quantizer(config: QuantizerConfig) -> Quantizer:
    match config:
        case FSQConfig():
            return FSQ(config)
        case LFQConfig():
            return LFQ(config)
        case BSQConfig():
            return BSQ(config)
        case VQConfig():
            return VQ(config)
        case IBQConfig():
            return IBQ(config)
        case SoftVQConfig():
            return SoftVQ(config)
        case _:
            raise NotImplementedError(config.kind)
