"""One token for each position of the grid of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interfaces.tokens import TokenGroup
from tokenizer.networks.layouts.base import Quantize, TokenLayout


@dataclass(frozen=True)
class GridConfig:
    kind: Literal["grid"] = "grid"

    @property
    def multiple(self) -> int:
        """Height and width of the features must be multiples of it."""
        return 1

    @property
    def encoding(self) -> dict[str, Any]:
        return {"kind": self.kind}


class Grid(TokenLayout):
    """Features are latents, row by row."""

    def __init__(self, config: GridConfig, dim: int):
        super().__init__()
        self.in_dim = self.out_dim = dim

    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        return (TokenGroup("tokens", grid),)

    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        (shape,) = (group.shape for group in groups)
        height, width = shape
        return height, width

    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        quantize(0, features_BThwC.flatten(2, 3))

    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        return torch.unflatten(latents_BTND, 2, grid)
