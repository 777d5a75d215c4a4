"""Finite scalar quantization: every dimension of the latent has a few levels of its own.

Published as Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (2023). Here levels are symmetric: tanh
brings a dimension into (-1, 1), which is cut into L cells of equal width, and a level is the middle of its cell. So
even and odd L are alike, no level is half as wide as the others, and latents of deviation 0.9 use all levels evenly.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import ScalarQuantizer


@dataclass(frozen=True)
class FSQConfig:
    """The number of different tokens is the product of the levels, e.g. 8 x 5 x 5 x 5 = 1,000."""

    levels: tuple[int, ...]
    kind: Literal["fsq"] = "fsq"

    def __post_init__(self) -> None:
        check_levels(self.levels)

    @property
    def dim(self) -> int:
        return len(self.levels)

    @property
    def encoding(self) -> dict[str, Any]:
        return {"levels": self.levels, "kind": self.kind}

    def __str__(self) -> str:
        return f"FSQ of levels {' x '.join(map(str, self.levels))}"


class FSQ(ScalarQuantizer):
    def __init__(self, config: FSQConfig):
        super().__init__(config.levels)

    def project(self, latents_ND: Tensor) -> Tensor:
        return torch.tanh(at_least_float32(latents_ND))

    def to_levels(self, projected_ND: Tensor) -> Tensor:
        cells_ND = ((projected_ND.float() + 1) / 2 * self.levels).floor().long()
        return torch.minimum(cells_ND.clamp_min(0), self.levels - 1)

    def from_levels(self, levels_ND: Tensor) -> Tensor:
        return (2 * levels_ND + 1).float() / self.levels - 1


def check_levels(levels: tuple[int, ...]) -> None:
    if not levels or not all(2 <= level <= 64 for level in levels):
        raise ValueError(f"levels = {levels}: expected one or more numbers from 2 to 64")
