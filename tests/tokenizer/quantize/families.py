"""One quantizer of each family, small enough to go through its whole codebook."""

from torch import Tensor

from tokenizer.laws import spread_tokens
from tokenizer.quantize import (
    BSQConfig,
    FSQConfig,
    IBQConfig,
    LFQConfig,
    Quantizer,
    QuantizerConfig,
    RoundedFSQConfig,
    SoftVQConfig,
    Terms,
    VQConfig,
)
from tokenizer.quantize.anneal import Anneal

FSQ_64000 = FSQConfig(levels=(8, 8, 8, 5, 5, 5))

COOLING = Anneal(start=1.0, end=0.05, steps=100)


def lfq(bits: int) -> LFQConfig:
    return LFQConfig(bits, sharpness=1.5, sample_entropy_weight=0.2, batch_entropy_weight=0.3, commitment_weight=0.25)


def lfq_without_batch_entropy(bits: int) -> LFQConfig:
    return LFQConfig(bits, sharpness=1.5, sample_entropy_weight=0.2, batch_entropy_weight=0, commitment_weight=0.25)


def bsq(bits: int) -> BSQConfig:
    return BSQConfig(bits, sharpness=20.0, sample_entropy_weight=0.2, batch_entropy_weight=0.3)


FAMILIES: dict[str, QuantizerConfig] = {
    "fsq": FSQConfig(levels=(8, 5, 5, 5)),
    "fsq-binary": FSQConfig(levels=(2, 3, 2)),
    "fsq-64000": FSQ_64000,
    "rounded-fsq": RoundedFSQConfig(levels=(8, 5, 5, 5)),
    "rounded-fsq-small": RoundedFSQConfig(levels=(2, 3, 4)),
    "rounded-fsq-64000": RoundedFSQConfig(levels=(8, 8, 8, 5, 5, 5)),
    "lfq": lfq(10),
    "bsq": bsq(11),
    "vq": VQConfig(1000, 6),
    "vq-gradient": VQConfig(512, 4, learning="gradient"),
    "vq-cosine": VQConfig(300, 8, distance="cosine"),
    "ibq": IBQConfig(700, 5),
    "soft-mean": SoftVQConfig(300, 4, COOLING, mixture="mean"),
    "soft-gumbel": SoftVQConfig(300, 4, COOLING, terms=Terms(kl_to_uniform=0.01)),
    "soft-top-k-hard": SoftVQConfig(300, 4, COOLING, mixture="top_k", hard=True, commitment_weight=0.25),
}

MIXED = ("ibq", "soft-mean", "soft-gumbel", "soft-top-k-hard")  # their gradient is that of a mixture of codes


def all_tokens(quantizer: Quantizer) -> Tensor:
    """Codes [V, K] of the whole codebook, the first code fastest."""
    return spread_tokens(quantizer.codebooks, most=1 << 16)
