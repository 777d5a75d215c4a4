"""Quantizers made of others, small enough to go through every codebook."""

from tests.tokenizer.quantize.families import bsq, lfq
from tokenizer.quantize import (
    DualConfig,
    FSQConfig,
    IBQConfig,
    MultiHeadConfig,
    ProductConfig,
    QuantizerConfig,
    ResidualConfig,
    Revival,
    SoftVQConfig,
    VQConfig,
)
from tokenizer.quantize.anneal import Anneal

EMA = VQConfig(16, 4, revival=Revival(source="worst", every=2))
BY_GRADIENT = VQConfig(16, 4, learning="gradient")
SOFT = SoftVQConfig(16, 4, temperature=Anneal(1.0, 0.1, 100))
RESIDUAL = ResidualConfig(EMA, depth=4)
FINER_FSQ = ResidualConfig(FSQConfig(levels=(4, 4, 4)), depth=3, scale=0.25)
GROUPED_RESIDUAL = ProductConfig(RESIDUAL, dim=8, groups=2)

COMBINATIONS: dict[str, QuantizerConfig] = {
    "residual": RESIDUAL,
    "residual-shared": ResidualConfig(EMA, depth=3, shared=True),
    "residual-by-gradient": ResidualConfig(BY_GRADIENT, depth=3),
    "residual-dropout": ResidualConfig(EMA, depth=3, dropout=0.7),
    "residual-fsq": FINER_FSQ,
    "residual-lfq": ResidualConfig(lfq(6), depth=3, scale=0.5),
    "residual-bsq": ResidualConfig(bsq(6), depth=3, scale=0.5),
    "residual-ibq": ResidualConfig(IBQConfig(16, 4), depth=3),
    "residual-soft": ResidualConfig(SOFT, depth=2),
    "product": ProductConfig(EMA, dim=12, groups=3),
    "product-shared": ProductConfig(EMA, dim=12, groups=3, shared=True),
    "product-fsq": ProductConfig(FSQConfig(levels=(8, 5)), dim=6, groups=3),
    "product-bsq": ProductConfig(bsq(4), dim=8, groups=2),
    "grouped-residual": GROUPED_RESIDUAL,
    "multi-head": MultiHeadConfig(EMA, dim=6, heads=3, redundancy_weight=0.1),
    "multi-head-sum": MultiHeadConfig(FSQConfig(levels=(5, 5, 5)), dim=6, heads=2, combine="sum"),
    "residual-of-heads": ResidualConfig(MultiHeadConfig(BY_GRADIENT, dim=8, heads=2), depth=2),
    "dual": DualConfig(VQConfig(32, 6), semantic_dim=2, semantic_weight=3.0),
}
EXACT_AS_A_WHOLE = ("product", "product-shared", "product-fsq", "product-bsq", "dual", "residual-fsq")
OWN_GRADIENT = ("multi-head", "multi-head-sum", "residual-of-heads", "residual-ibq", "residual-soft")
STRAIGHT_THROUGH = tuple(name for name in COMBINATIONS if name not in OWN_GRADIENT)


def is_learned_from_statistics(config: QuantizerConfig) -> bool:
    inner = getattr(config, "quantizer", None)
    return is_learned_from_statistics(inner) if inner is not None else getattr(config, "learning", "") == "ema"
