"""A pyramid of grids: each scale says what the scales before it have left over, with one codebook (next-scale tokens).

Every scale works on the whole picture, so a prior that decides scale after scale goes from the whole to the details.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interfaces.tokens import TokenGroup
from tokenizer.networks.blocks import init_residual_branch
from tokenizer.networks.convolution import FrameConv
from tokenizer.networks.layouts.base import LayoutSettings, Quantize, TokenLayout


@dataclass(frozen=True)
class PyramidConfig(LayoutSettings):
    """The last scale has the grid of the features; the others have a share of its height and width."""

    scales: tuple[int, ...]  # by how much each scale is coarser than the features: 8, 4, 2, 1 for 1, 2, 4, 8 a side
    shared: bool = True  # one codebook for all scales
    kind: Literal["pyramid"] = "pyramid"

    def __post_init__(self) -> None:
        scales = self.scales
        if len(scales) < 2 or scales[-1] != 1 or list(scales) != sorted(set(scales), reverse=True):
            raise ValueError(f"scales = {scales}: expected two or more that fall to 1, such as [8, 4, 2, 1]")

    @property
    def multiple(self) -> int:
        return self.scales[0]

    @property
    def encoding(self) -> dict[str, Any]:
        return {"scales": self.scales, "kind": self.kind}


class Pyramid(TokenLayout):
    """A latent frame is the sum of its scales, each enlarged and smoothed by a convolution of its own."""

    def __init__(self, config: PyramidConfig, dim: int, encoder_dim: int):
        super().__init__()
        self.quantizers = 1 if config.shared else len(config.scales)
        self.scales, self.in_dim, self.out_dim = config.scales, encoder_dim, dim
        self.smooth = nn.ModuleList(FrameConv(dim, dim, 3) for _ in config.scales)
        for layer in self.smooth:
            init_residual_branch(layer.conv)  # type: ignore[arg-type]

    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        return tuple(TokenGroup(f"scale_{scale}", (grid[0] // scale, grid[1] // scale)) for scale in self.scales)

    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        height, width = groups[-1].shape
        return height, width

    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        left_BThwE = features_BThwC  # what is beside the latent, such as log variances, has nothing taken away
        for number, scale in enumerate(self.scales):
            latents_BThwE = shrink(left_BThwE, scale)
            quantized_BThwD = torch.unflatten(
                quantize(number, latents_BThwE.flatten(2, 3)), 2, latents_BThwE.shape[2:4]
            )
            taken_BThwD = self.enlarge(number, quantized_BThwD)
            left_BThwE = left_BThwE - F.pad(taken_BThwD, (0, self.in_dim - self.out_dim))

    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        groups = self.groups(grid)
        parts = torch.split(latents_BTND, [group.tokens for group in groups], dim=2)
        scales = [torch.unflatten(part, 2, group.shape) for part, group in zip(parts, groups, strict=True)]
        return torch.stack([self.enlarge(number, scale) for number, scale in enumerate(scales)]).sum(0)

    def enlarge(self, number: int, latents_BThwD: Tensor) -> Tensor:
        """What a scale adds to the features: each position repeated, and the seams smoothed."""
        scale = self.scales[number]
        large_BThwD = latents_BThwD.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        return large_BThwD + self.smooth[number](large_BThwD)  # type: ignore[no-any-return]


def shrink(x_BThwD: Tensor, scale: int) -> Tensor:
    """Means of scale x scale positions."""
    flat_NDhw = x_BThwD.flatten(0, 1).permute(0, 3, 1, 2)
    return torch.unflatten(F.avg_pool2d(flat_NDhw, scale).permute(0, 2, 3, 1), 0, x_BThwD.shape[:2])
