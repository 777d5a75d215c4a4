"""Latents <-> codes: scalar and binary quantization, learned codebooks, combinators over any of them, and no codebook.

base.py       what every quantizer promises, and the base of those with levels per dimension
quantized.py  what quantization gives, and how parts of it become one
config.py     the settings of all families, and those of the combinators
fsq.py, rounded_fsq.py, lfq.py, bsq.py   families without a codebook, one each
codebook.py   what learned codebooks share; nearest.py finds the nearest code in blocks
vq.py, ibq.py, soft.py          families that learn their codes, one each
first_codes.py, revival.py, terms.py, anneal.py   how codes begin, are revived, kept apart and cooled
assignment.py, gumbel.py        soft assignments of all tokens to all codes, in blocks, with or without noise
entropy.py    exact entropies of independent bits, the training losses of LFQ and BSQ
continuous.py no codebook: tokens are latents
composite.py  the base of combinators; residual.py, product.py, multi_head.py, dual.py: one each
grouped.py    a quantizer for each group of tokens
usage.py      how many codes are used, and how evenly
"""

from tokenizer.quantize.base import CodebookModule, Quantizer
from tokenizer.quantize.bsq import BSQ, BSQConfig
from tokenizer.quantize.config import (
    CodesConfig,
    DualConfig,
    MultiHeadConfig,
    ProductConfig,
    QuantizerConfig,
    ResidualConfig,
    encoder_dim_of,
)
from tokenizer.quantize.continuous import Continuous, ContinuousConfig
from tokenizer.quantize.dual import Dual
from tokenizer.quantize.fsq import FSQ, FSQConfig
from tokenizer.quantize.grouped import GroupedQuantizer
from tokenizer.quantize.ibq import IBQ, IBQConfig
from tokenizer.quantize.lfq import LFQ, LFQConfig
from tokenizer.quantize.multi_head import MultiHead
from tokenizer.quantize.product import Product
from tokenizer.quantize.quantized import Quantized
from tokenizer.quantize.residual import Residual
from tokenizer.quantize.revival import Revival
from tokenizer.quantize.rounded_fsq import RoundedFSQ, RoundedFSQConfig
from tokenizer.quantize.soft import SoftVQ, SoftVQConfig
from tokenizer.quantize.terms import Terms
from tokenizer.quantize.usage import Usage, batch_figures, batch_perplexity
from tokenizer.quantize.vq import VQ, VQConfig

__all__ = [
    "BSQ",
    "FSQ",
    "IBQ",
    "LFQ",
    "VQ",
    "BSQConfig",
    "CodebookModule",
    "CodesConfig",
    "Continuous",
    "ContinuousConfig",
    "Dual",
    "DualConfig",
    "FSQConfig",
    "GroupedQuantizer",
    "IBQConfig",
    "LFQConfig",
    "MultiHead",
    "MultiHeadConfig",
    "Product",
    "ProductConfig",
    "Quantized",
    "Quantizer",
    "QuantizerConfig",
    "Residual",
    "ResidualConfig",
    "Revival",
    "RoundedFSQ",
    "RoundedFSQConfig",
    "SoftVQ",
    "SoftVQConfig",
    "Terms",
    "Usage",
    "VQConfig",
    "batch_figures",
    "batch_perplexity",
    "encoder_dim_of",
    "make_quantizer",
]


def make_quantizer(config: QuantizerConfig) -> Quantizer:
    match config:
        case FSQConfig():
            return FSQ(config)
        case RoundedFSQConfig():
            return RoundedFSQ(config)
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
        case ResidualConfig():
            return Residual(config, several(config.quantizer, 1 if config.shared else config.depth))
        case ProductConfig():
            return Product(config, several(config.quantizer, 1 if config.shared else config.groups))
        case MultiHeadConfig():
            return MultiHead(config, several(config.quantizer, config.heads))
        case DualConfig():
            return Dual(config, make_quantizer(config.quantizer))
        case ContinuousConfig():
            return Continuous(config)


def several(config: CodesConfig, count: int) -> list[Quantizer]:
    return [make_quantizer(config) for _ in range(count)]
