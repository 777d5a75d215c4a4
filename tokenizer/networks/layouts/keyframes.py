"""A key picture, the last of its latent frame, then a few tokens that say what happened since the one before."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interfaces.tokens import TokenGroup
from tokenizer.networks.blocks import FrameBlock
from tokenizer.networks.convolution import Downsample, FrameConv, Upsample
from tokenizer.networks.layouts.base import LayoutSettings, Quantize, TokenLayout
from tokenizer.networks.pictures import PictureEncoderConfig


@dataclass(frozen=True)
class KeyframesConfig(LayoutSettings):
    """Both groups are grids: with 1 / `key_factor` and 1 / `motion_factor` of the features' height and width."""

    width: int  # channels of the encoder's features, and of what the decoder gets for each group
    pictures: PictureEncoderConfig  # the network that sees the key picture alone
    key_factor: int = 1
    motion_factor: int = 2
    shared: bool = False  # one codebook for both groups
    kind: Literal["keyframes"] = "keyframes"

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("key_factor", 1), ("motion_factor", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        if self.motion_factor % self.key_factor:
            raise ValueError(
                f"motion_factor = {self.motion_factor} must be a multiple of key_factor = {self.key_factor}"
            )

    @property
    def multiple(self) -> int:
        return self.motion_factor

    @property
    def encoding(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "shared"}


class Keyframes(TokenLayout):
    """Tokens of the key group depend on their picture alone, those of motion also on all frames before it.

    The first latent frame has one picture, which is its key. A decoder with a memory has the key before from the latent
    frame before.
    """

    def __init__(self, config: KeyframesConfig, dim: int, encoder_dim: int):
        super().__init__()
        self.quantizers = 1 if config.shared else 2
        self.config, self.pictures = config, config.pictures
        self.in_dim, self.out_dim = config.width, 2 * config.width
        seen, width = config.pictures.width, config.width
        self.key = nn.Sequential(
            Downsample(seen, seen, 1, config.key_factor), FrameBlock(seen), FrameConv(seen, encoder_dim, 1)
        )  # fmt: skip
        self.context = Upsample(dim, width, 1, config.key_factor)
        self.motion = nn.Sequential(
            FrameConv(2 * width, width, 1),
            FrameBlock(width),
            Downsample(width, width, 1, config.motion_factor),
            FrameBlock(width),
            FrameConv(width, encoder_dim, 1),
        )
        self.decoder = nn.ModuleList(
            Upsample(dim, width, 1, factor) for factor in (config.key_factor, config.motion_factor)
        )

    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        named = (("key", self.config.key_factor), ("motion", self.config.motion_factor))
        return tuple(TokenGroup(name, (grid[0] // factor, grid[1] // factor)) for name, factor in named)

    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        height, width = groups[0].shape
        return height * self.config.key_factor, width * self.config.key_factor

    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        features_BThwC, picture_BThwC = torch.split(features_BThwC, [self.in_dim, self.config.pictures.width], dim=-1)
        key_BThwE = self.key(picture_BThwC)
        quantized_BTND = quantize(0, key_BThwE.flatten(2, 3))
        context_BThwC = self.context(torch.unflatten(quantized_BTND, 2, key_BThwE.shape[2:4]))
        quantize(1, self.motion(torch.cat([features_BThwC, context_BThwC], -1)).flatten(2, 3))

    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        groups = self.groups(grid)
        parts = torch.split(latents_BTND, [group.tokens for group in groups], dim=2)
        pairs = zip(self.decoder, parts, groups, strict=True)
        return torch.cat([up(torch.unflatten(part, 2, group.shape)) for up, part, group in pairs], -1)
