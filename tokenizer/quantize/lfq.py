"""Lookup-free quantization: a bit a dimension, its sign.

Published with MAGVIT-v2 (Yu et al., "Language Model Beats Diffusion", 2023). Two entropies train it, both exact: each
token should be sure of its code (low `sample_entropy`), and all tokens together use all codes (high `batch_entropy`).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.entropy import MOST_BITS, batch_entropy, bits_of, number_of, sample_entropy


@dataclass(frozen=True)
class LFQConfig:
    """2^bits codes. A token's belief in a code falls with `sharpness` times its squared distance."""

    bits: int
    sharpness: float
    sample_entropy_weight: float
    batch_entropy_weight: float
    commitment_weight: float  # of the squared distance to the code
    kind: Literal["lfq"] = "lfq"

    def __post_init__(self) -> None:
        check_binary(self.bits, self.sharpness, self.sample_entropy_weight, self.batch_entropy_weight)
        if self.commitment_weight < 0:
            raise ValueError(f"commitment_weight = {self.commitment_weight} must not be negative")


class LFQ(Quantizer):
    """Codes are all corners of the cube {-1, 1}^D."""

    def __init__(self, config: LFQConfig):
        super().__init__(config.bits, 2**config.bits)
        self.config = config

    def bound(self, latents_ND: Tensor) -> Tensor:
        return at_least_float32(latents_ND)

    def to_ids(self, bounded_ND: Tensor) -> Tensor:
        return number_of(bounded_ND > 0)

    def codes(self, ids_N: Tensor) -> Tensor:
        return bits_of(ids_N, self.dim).float() * 2 - 1

    def losses(self, bounded_ND: Tensor, codes_ND: Tensor) -> dict[str, Tensor]:
        config = self.config
        logits_ND = 4 * config.sharpness * bounded_ND  # the squared distances to -1 and to 1 differ by 4 x
        return {
            **entropies(logits_ND, config.sample_entropy_weight, config.batch_entropy_weight),
            "commitment": config.commitment_weight * (bounded_ND - codes_ND).square().mean(),
        }


def entropies(logits_ND: Tensor, sample_weight: float, batch_weight: float) -> dict[str, Tensor]:
    """The two terms of a binary quantizer, weighted; the second is negative, for it is to grow."""
    terms = {"sample_entropy": sample_weight * sample_entropy(logits_ND)}
    if batch_weight:
        terms["batch_entropy"] = -batch_weight * batch_entropy(logits_ND)
    return terms


def check_binary(bits: int, sharpness: float, sample_weight: float, batch_weight: float) -> None:
    if not 1 <= bits <= 62:
        raise ValueError(f"bits = {bits} must lie between 1 and 62")
    if batch_weight and bits > MOST_BITS:
        raise ValueError(f"bits = {bits}: beyond {MOST_BITS} set batch_entropy_weight to 0; it looks at 2^bits codes")
    if sharpness <= 0:
        raise ValueError(f"sharpness = {sharpness} must be positive")
    for name, weight in (("sample_entropy_weight", sample_weight), ("batch_entropy_weight", batch_weight)):
        if weight < 0:
            raise ValueError(f"{name} = {weight} must not be negative")
