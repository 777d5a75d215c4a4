"""Finite scalar quantization: every dimension of the latent has a few levels of its own, an id is their mixed radix.

Published as Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (2023). Here levels are symmetric: tanh
brings a dimension into (-1, 1), which is cut into L cells of equal width, and a code is the middle of its cell. So even
and odd L are alike, no level is half as wide as the others, and latents of deviation 0.9 use all levels evenly.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer


@dataclass(frozen=True)
class FSQConfig:
    """The number of codes is the product of the levels, e.g. 8 x 5 x 5 x 5 = 1,000."""

    levels: tuple[int, ...]
    kind: Literal["fsq"] = "fsq"

    def __post_init__(self) -> None:
        if not self.levels or not all(2 <= level <= 64 for level in self.levels):
            raise ValueError(f"levels = {self.levels}: expected one or more numbers from 2 to 64")
        if math.prod(self.levels) >= 2**62:
            raise ValueError(f"levels = {self.levels} make {math.prod(self.levels)} codes; ids end below 2^62")


class FSQ(Quantizer):
    levels: Tensor
    radix: Tensor

    def __init__(self, config: FSQConfig):
        super().__init__(len(config.levels), math.prod(config.levels))
        radix = [math.prod(config.levels[:i]) for i in range(self.dim)]
        self.register_buffer("levels", torch.tensor(config.levels), persistent=False)
        self.register_buffer("radix", torch.tensor(radix), persistent=False)

    def bound(self, latents_ND: Tensor) -> Tensor:
        return torch.tanh(at_least_float32(latents_ND))

    def to_ids(self, bounded_ND: Tensor) -> Tensor:
        cells_ND = ((bounded_ND.float() + 1) / 2 * self.levels).floor().long()
        digits_ND = torch.minimum(cells_ND.clamp_min(0), self.levels - 1)
        return (digits_ND * self.radix).sum(-1)

    def codes(self, ids_N: Tensor) -> Tensor:
        digits_ND = ids_N.unsqueeze(-1) // self.radix % self.levels
        return (2 * digits_ND + 1).float() / self.levels - 1
