"""Finite scalar quantization by rounding, as published by Mentzer et al., 2023, and used by Cosmos and VidTok.

Levels count from -floor(L / 2), so those of an even L reach from -1 to 1 - 2 / L, and tanh is shifted so that a latent
of 0 becomes 0. The outermost cells are about half as wide as the others. `fsq` has the same number of tokens, and other
cells and values: weights trained with one of the two do not fit the other.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import ScalarQuantizer
from tokenizer.quantize.fsq import check_levels

EPS = 1e-3  # by which tanh reaches beyond the outermost levels, relative to their range


@dataclass(frozen=True)
class RoundedFSQConfig:
    """The number of different tokens is the product of the levels, e.g. 8 x 8 x 8 x 5 x 5 x 5 = 64,000."""

    levels: tuple[int, ...]
    kind: Literal["rounded_fsq"] = "rounded_fsq"

    def __post_init__(self) -> None:
        check_levels(self.levels)

    @property
    def dim(self) -> int:
        return len(self.levels)

    @property
    def encoding(self) -> dict[str, Any]:
        return {"levels": self.levels, "kind": self.kind}

    def __str__(self) -> str:
        return f"rounded FSQ of levels {' x '.join(map(str, self.levels))}"


class RoundedFSQ(ScalarQuantizer):
    def __init__(self, config: RoundedFSQConfig):
        super().__init__(config.levels)

    def project(self, latents_ND: Tensor) -> Tensor:
        latents_ND = at_least_float32(latents_ND)
        levels_D = self.levels.to(latents_ND.dtype)
        reach_D = (levels_D - 1) * (1 + EPS) / 2
        offset_D = torch.where(self.levels % 2 == 0, 0.5, 0.0).to(latents_ND.dtype)
        shift_D = torch.atanh(offset_D / reach_D)
        return (torch.tanh(latents_ND + shift_D) * reach_D - offset_D) / (self.levels // 2)

    def to_levels(self, projected_ND: Tensor) -> Tensor:
        half_D = self.levels // 2
        levels_ND = (at_least_float32(projected_ND) * half_D).round().long() + half_D
        return torch.minimum(levels_ND.clamp_min(0), self.levels - 1)

    def from_levels(self, levels_ND: Tensor) -> Tensor:
        half_D = self.levels // 2
        return (levels_ND - half_D).float() / half_D
