"""Tokens on a line instead of a grid (TiTok): learned queries read a latent frame, queries of a grid paint it again.

As many tokens as one likes, whatever the size of the picture. With `nested` the first tokens say the most, and any
number of them decodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interfaces.tokens import TokenGroup
from tokenizer.networks.layouts.base import LayoutSettings, Quantize, TokenLayout
from tokenizer.networks.token_attention import (
    AttentionBlock,
    Maps,
    TokenLinear,
    fourier_features,
    grid_positions,
    linear,
)


@dataclass(frozen=True)
class LineConfig(LayoutSettings):
    """Reader and painter have `width` channels, and so have the features."""

    tokens: int
    width: int
    heads: int
    blocks: int  # of the reader
    decoder_blocks: int  # of the painter
    maps: int = 8  # side of the learned maps, such as that of the features' grid in training
    nested: float = 0.0  # the share of training clips of which a random number of first tokens is painted
    kept: int | None = None  # only so many first tokens are made, of a model with `nested`; None: all
    kind: Literal["line"] = "line"

    def __post_init__(self) -> None:
        for name, least in (
            ("tokens", 1),
            ("width", 1),
            ("heads", 1),
            ("maps", 1),
            ("blocks", 0),
            ("decoder_blocks", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        if not 0 <= self.nested <= 1:
            raise ValueError(f"nested = {self.nested} is a share, from 0 to 1")
        if self.kept is not None and not (1 <= self.kept <= self.tokens and self.nested > 0):
            raise ValueError(f"kept = {self.kept} must be 1 to {self.tokens} tokens, of a model with nested > 0")

    @property
    def made(self) -> int:
        """Tokens of a latent frame."""
        return self.tokens if self.kept is None else self.kept

    @property
    def encoding(self) -> dict[str, Any]:
        names = ("tokens", "width", "heads", "blocks", "maps", "kind", *(() if self.kept is None else ("kept",)))
        return {name: getattr(self, name) for name in names}

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Numbers of first tokens that decode, each twice the one before it; none where all tokens are needed."""
        return (*(2**i for i in range((self.made - 1).bit_length())), self.made) if self.nested else ()

    def check_prefix(self, tokens: int) -> None:
        """ValueError unless the first `tokens` tokens decode."""
        if not 1 <= tokens <= self.made:
            raise ValueError(f"{tokens} tokens: there are 1 to {self.made} in a latent frame")
        if tokens < self.made and self.nested == 0:
            raise ValueError(f"{tokens} of {self.made} tokens do not decode: only a model trained with nested > 0 does")


class Line(TokenLayout):
    """Each token begins with what its maps weigh of the picture, and the painter with what tokens put into theirs.

    So tokens differ from the first step on, and the way from features to latents and back is linear at the start.
    """

    needs_size = True

    def __init__(self, config: LineConfig, dim: int, encoder_dim: int):
        super().__init__()
        self.config, self.in_dim, self.out_dim = config, config.width, config.width
        self.reader, self.decoder = Reader(config, encoder_dim), Painter(config, dim)

    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        return (TokenGroup("latents", (self.config.made,)),)

    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        raise AssertionError("the spec has the size")

    def check_groups(self, groups: Sequence[TokenGroup], grid: tuple[int, int]) -> None:
        (own,) = self.groups(grid)
        if [(group.name, len(group.shape)) for group in groups] != [(own.name, 1)]:
            super().check_groups(groups, grid)
        self.config.check_prefix(groups[0].tokens)

    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        latents_MND = self.reader(features_BThwC.flatten(0, 1))[:, : self.config.made]
        quantize(0, torch.unflatten(latents_MND, 0, features_BThwC.shape[:2]))

    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        clips, frames, tokens, _ = latents_BTND.shape
        seen_MN = None
        if self.training and self.config.nested > 0:
            length_B = random_lengths(clips, tokens, self.config.nested, latents_BTND.device)
            seen_MN = (torch.arange(tokens, device=length_B.device) < length_B[:, None]).repeat_interleave(frames, 0)
        return torch.unflatten(self.decoder(latents_BTND.flatten(0, 1), grid, seen_MN), 0, (clips, frames))


class Reader(nn.Module):
    """Features [M, h, w, C] to latents [M, N, D]."""

    def __init__(self, config: LineConfig, dim: int):
        super().__init__()
        self.value, self.places = linear(config.width, config.width), linear(16, config.width)
        self.maps = Maps(first_radii(config), config.heads, config.maps)
        self.queries = nn.Embedding(config.tokens, config.width)
        self.blocks = nn.ModuleList(AttentionBlock(config.width, config.heads) for _ in range(config.blocks))
        self.to_latents = TokenLinear(config.tokens, config.width, dim)
        self.maps.begin_with_means()
        nn.init.normal_(self.queries.weight, std=0.1)

    def forward(self, features_MhwC: Tensor) -> Tensor:
        grid, features_MPC = (features_MhwC.shape[1], features_MhwC.shape[2]), features_MhwC.flatten(1, 2)
        positions_P2 = grid_positions(grid, features_MhwC.device)
        maps_NHP = self.maps(grid) * (self.maps.positions / math.prod(grid))  # the same mean of any grid
        values_MPHd = torch.unflatten(self.value(features_MPC), -1, (maps_NHP.shape[1], -1))
        read_MNHd = torch.einsum("nhp,mphd->mnhd", maps_NHP, values_MPHd)
        x_MNC = read_MNHd.flatten(2) + self.queries.weight
        placed_MPC = features_MPC + self.places(fourier_features(positions_P2))
        for block in self.blocks:
            x_MNC = block(x_MNC, torch.cat([placed_MPC, x_MNC], 1))
        return self.to_latents(x_MNC)  # type: ignore[no-any-return]


class Painter(nn.Module):
    """Quantized latents [M, N, D] of any first tokens to features [M, h, w, C]."""

    def __init__(self, config: LineConfig, dim: int):
        super().__init__()
        self.from_latents = TokenLinear(config.tokens, dim, config.width)
        self.line = nn.Embedding(config.tokens, config.width)
        self.maps = Maps(first_radii(config), config.heads, config.maps)
        self.out, self.places = linear(config.width, config.width), linear(16, config.width)
        self.blocks = nn.ModuleList(AttentionBlock(config.width, config.heads) for _ in range(config.decoder_blocks))
        nn.init.normal_(self.line.weight, std=0.1)

    def forward(self, latents_MND: Tensor, grid: tuple[int, int], seen_MN: Tensor | None) -> Tensor:
        """`seen` says which tokens there are; without it, all that are given."""
        tokens = latents_MND.shape[1]
        x_MNC = self.from_latents(latents_MND) + self.line.weight[:tokens]
        x_MNC = x_MNC if seen_MN is None else x_MNC * seen_MN[..., None]
        positions_P2 = grid_positions(grid, latents_MND.device)
        maps_NHP = self.maps(grid)[:tokens]
        painted_MPHd = torch.einsum("nhp,mnhd->mphd", maps_NHP, torch.unflatten(x_MNC, -1, (maps_NHP.shape[1], -1)))
        y_MPC = self.out(painted_MPHd.flatten(2)) + self.places(fourier_features(positions_P2))
        for block in self.blocks:
            y_MPC = block(y_MPC, x_MNC, seen_MN)
        return torch.unflatten(y_MPC, 1, grid)


def first_radii(config: LineConfig) -> Tensor:
    """So that tokens cover the picture together; where any number of them has to, each as much as those before it."""
    numbers_N = torch.arange(1, config.tokens + 1) if config.nested else torch.full((config.tokens,), config.tokens)
    return (0.5 * numbers_N.float().rsqrt()).clamp(min=0.5 / config.maps)


def random_lengths(clips: int, tokens: int, share: float, device: torch.device) -> Tensor:
    """How many tokens of each clip are painted: all, or with the chance `share` a number from 1 to all.

    Every doubling is equally likely: PSNR rises about as much with each, and lengths between powers of two occur too.
    """
    chance_B, draw_B = torch.rand(2, clips, device=device)
    return torch.where(chance_B < share, (tokens + 1) ** draw_B, tokens).long().clamp(max=tokens)
