"""One token for each position of the grid of features, or for a square of them.

A token of a square holds the latents of all its positions side by side. With a `product` quantizer that has a group for
each position, all sharing their codes, these are the codes of single positions: the same pictures from fewer tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from einops import rearrange
from torch import Tensor

from interfaces.tokens import TokenGroup
from tokenizer.networks.layouts.base import LayoutSettings, Quantize, TokenLayout


@dataclass(frozen=True)
class GridConfig(LayoutSettings):
    merge: int = 1  # a token is a square of merge x merge positions
    kind: Literal["grid"] = "grid"

    def __post_init__(self) -> None:
        if self.merge < 1:
            raise ValueError(f"merge = {self.merge} must be at least 1")

    def check_dim(self, dim: int) -> None:
        if dim % self.merge**2:
            positions = f"{self.merge**2} positions of a token"
            raise ValueError(f"layout has merge = {self.merge}: {dim} numbers of a latent do not divide by {positions}")

    @property
    def multiple(self) -> int:
        return self.merge

    @property
    def encoding(self) -> dict[str, Any]:
        return {"merge": self.merge, "kind": self.kind}


class Grid(TokenLayout):
    """Features are latents, row by row, as many numbers of each as there are positions in a token."""

    def __init__(self, config: GridConfig, dim: int, encoder_dim: int):
        super().__init__()
        self.merge = config.merge
        self.in_dim, self.out_dim = (each // config.merge**2 for each in (encoder_dim, dim))

    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        return (TokenGroup("tokens", (grid[0] // self.merge, grid[1] // self.merge)),)

    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        (shape,) = (group.shape for group in groups)
        height, width = shape
        return height * self.merge, width * self.merge

    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        pattern = "b t (h p) (w q) (e d) -> b t (h w) (e p q d)"  # latents of all positions first, then e.g. variances
        quantize(0, rearrange(features_BThwC, pattern, p=self.merge, q=self.merge, d=self.out_dim))

    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        size = {"h": grid[0] // self.merge, "p": self.merge, "q": self.merge}
        return rearrange(latents_BTND, "b t (h w) (p q d) -> b t (h p) (w q) d", **size)
