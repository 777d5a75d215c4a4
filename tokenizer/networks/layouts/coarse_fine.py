"""Two grids: a coarse one that says what there is, then a fine one that is given the coarse codes (VQ-VAE-2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interfaces.tokens import TokenGroup
from tokenizer.networks.blocks import FrameBlock
from tokenizer.networks.convolution import Downsample, FrameConv, Upsample
from tokenizer.networks.layouts.base import LayoutSettings, Quantize, TokenLayout


@dataclass(frozen=True)
class CoarseFineConfig(LayoutSettings):
    """The coarse grid has 1 / `factor` of the fine grid's height and width, which are those of the features."""

    width: int  # channels of features: more than a latent, so that both grids have something to read
    factor: int = 2
    blocks: int = 1  # of the coarse encoder
    shared: bool = False  # one codebook for both grids
    kind: Literal["coarse_fine"] = "coarse_fine"

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("factor", 2), ("blocks", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")

    @property
    def multiple(self) -> int:
        return self.factor

    @property
    def encoding(self) -> dict[str, Any]:
        return {"width": self.width, "factor": self.factor, "blocks": self.blocks, "kind": self.kind}


class CoarseFine(TokenLayout):
    """The decoder gets both grids at the fine resolution."""

    def __init__(self, config: CoarseFineConfig, dim: int, encoder_dim: int):
        super().__init__()
        self.quantizers = 1 if config.shared else 2
        self.factor, self.in_dim, self.out_dim = config.factor, config.width, config.width + dim
        self.coarse = nn.Sequential(
            Downsample(config.width, config.width, 1, config.factor),
            *(FrameBlock(config.width) for _ in range(config.blocks)),
            FrameConv(config.width, encoder_dim, 1),
        )
        self.up = Upsample(dim, config.width, 1, config.factor)
        self.fine = nn.Sequential(
            FrameConv(2 * config.width, config.width, 1),
            FrameBlock(config.width),
            FrameConv(config.width, encoder_dim, 1),
        )

    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        return TokenGroup("coarse", (grid[0] // self.factor, grid[1] // self.factor)), TokenGroup("fine", grid)

    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        height, width = groups[-1].shape
        return height, width

    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        coarse_BThwE = self.coarse(features_BThwC)
        quantized_BTND = quantize(0, coarse_BThwE.flatten(2, 3))
        context_BThwC = self.up(torch.unflatten(quantized_BTND, 2, coarse_BThwE.shape[2:4]))
        quantize(1, self.fine(torch.cat([features_BThwC, context_BThwC], -1)).flatten(2, 3))

    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        groups = self.groups(grid)
        coarse_BTND, fine_BTND = torch.split(latents_BTND, [group.tokens for group in groups], dim=2)
        up_BThwC = self.up(torch.unflatten(coarse_BTND, 2, groups[0].shape))
        return torch.cat([up_BThwC, torch.unflatten(fine_BTND, 2, grid)], -1)
