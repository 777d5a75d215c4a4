"""Lookup-free quantization: one bit per dimension, its sign.

Published with MAGVIT-v2 (Yu et al., "Language Model Beats Diffusion", 2023). Two exact entropies train it: a low
`sample_entropy` makes each assignment certain, a high `batch_entropy` makes a batch use all codes.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import ScalarQuantizer
from tokenizer.quantize.entropy import MAX_BITS, batch_entropy, sample_entropy


@dataclass(frozen=True)
class LFQConfig:
    """2^bits different tokens. The logit of a token falls with `sharpness` times its squared distance."""

    bits: int
    sharpness: float
    sample_entropy_weight: float
    batch_entropy_weight: float
    commitment_weight: float  # of the squared distance to the quantized latent
    kind: Literal["lfq"] = "lfq"

    def __post_init__(self) -> None:
        check_binary_settings(self.bits, self.sharpness, self.sample_entropy_weight, self.batch_entropy_weight)
        if self.commitment_weight < 0:
            raise ValueError(f"commitment_weight = {self.commitment_weight} must not be negative")

    @property
    def dim(self) -> int:
        return self.bits

    @property
    def encoding(self) -> dict[str, Any]:
        return {"bits": self.bits, "kind": self.kind}

    def __str__(self) -> str:
        return f"LFQ of {self.bits} bits"


class LFQ(ScalarQuantizer):
    """The quantized latents are the corners of the cube {-1, 1}^D."""

    def __init__(self, config: LFQConfig):
        super().__init__((2,) * config.bits)
        self.config = config

    def project(self, latents_ND: Tensor) -> Tensor:
        return at_least_float32(latents_ND)

    def to_levels(self, projected_ND: Tensor) -> Tensor:
        return (projected_ND > 0).long()

    def from_levels(self, levels_ND: Tensor) -> Tensor:
        return levels_ND.float() * 2 - 1

    def losses(self, projected_ND: Tensor, quantized_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        config = self.config
        logits_ND = 4 * config.sharpness * projected_ND  # the squared distances to -1 and 1 differ by 4 x
        return {
            **entropy_losses(logits_ND, config.sample_entropy_weight, config.batch_entropy_weight),
            "commitment": config.commitment_weight * (projected_ND - quantized_ND).square().mean(),
        }


def entropy_losses(logits_ND: Tensor, sample_weight: float, batch_weight: float) -> dict[str, Tensor]:
    """The two weighted entropy terms of a binary quantizer; the second is negative, because it is maximized."""
    terms = {"sample_entropy": sample_weight * sample_entropy(logits_ND)}
    if batch_weight:
        terms["batch_entropy"] = -batch_weight * batch_entropy(logits_ND)
    return terms


def check_binary_settings(bits: int, sharpness: float, sample_weight: float, batch_weight: float) -> None:
    if bits < 1:
        raise ValueError(f"bits = {bits} must be at least 1")
    if batch_weight and bits > MAX_BITS:
        raise ValueError(f"bits = {bits}: beyond {MAX_BITS} set batch_entropy_weight to 0; it needs 2^bits numbers")
    if sharpness <= 0:
        raise ValueError(f"sharpness = {sharpness} must be positive")
    for name, weight in (("sample_entropy_weight", sample_weight), ("batch_entropy_weight", batch_weight)):
        if weight < 0:
            raise ValueError(f"{name} = {weight} must not be negative")
