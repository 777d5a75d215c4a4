"""Between a grid of features and tokens that have no place in it: learned maps, and attention to anything.

Legend: M latent frames, N tokens, P positions of the grid, H heads, S what is attended to, C channels.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.blocks import PositionNorm, init_residual_branch
from tokenizer.networks.convolution import init_conv

FREQUENCIES = (1, 2, 4, 8)  # half waves over the height and the width of a picture
PLASTIC = 1.32471795724474602596  # its powers spread points evenly over a square, however many there are


class Maps(nn.Module):
    """For each head of each token a learned picture of weights, stretched to any grid; a round spot at the start.

    Nothing else tells tokens apart at the start: with queries alone, all of them begin with the mean of the picture.
    """

    def __init__(self, radius_N: Tensor, heads: int, side: int):
        super().__init__()
        self.shape = (heads, side, side)
        self.table = nn.Embedding(len(radius_N), heads * side * side)
        positions_P2 = grid_positions((side, side), radius_N.device)
        distance_NHP = (spread_centers(radius_N, heads)[:, :, None] - positions_P2).square().sum(-1)
        self.table.weight.data.copy_((-0.5 * distance_NHP / radius_N.square()[:, None, None]).exp().flatten(1))

    @property
    def positions(self) -> int:
        return self.shape[1] * self.shape[2]

    @torch.no_grad()
    def begin_with_means(self) -> None:
        """Scale the spots so that each takes a mean of a picture."""
        weights_NHP = self.table.weight.view(-1, self.shape[0], self.positions)
        weights_NHP /= weights_NHP.sum(-1, keepdim=True)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """[N, H, P]"""
        maps_NHyx = torch.unflatten(self.table.weight, 1, self.shape)
        rows, columns = (stretching(length, self.shape[1], maps_NHyx) for length in grid)
        return (rows @ maps_NHyx @ columns.mT).flatten(2)


class TokenLinear(nn.Module):
    """A linear layer for all tokens, and what each of them adds to it: nothing at the start.

    With random layers of their own, each token has to find alone what all have in common, which takes longer.
    """

    def __init__(self, tokens: int, dim_in: int, dim_out: int):
        super().__init__()
        self.shared, self.own = linear(dim_in, dim_out), nn.Embedding(tokens, dim_in * dim_out)
        nn.init.zeros_(self.own.weight)

    def forward(self, x_MNC: Tensor) -> Tensor:
        """Of any first tokens."""
        own_NCD = torch.unflatten(self.own.weight[: x_MNC.shape[1]], 1, (x_MNC.shape[2], -1))
        return self.shared(x_MNC) + torch.einsum("mnc,ncd->mnd", x_MNC, own_NCD)  # type: ignore[no-any-return]


class AttentionBlock(nn.Module):
    """x + attention(norm(x), context), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm, self.context_norm, self.mlp_norm = (PositionNorm(width) for _ in range(3))
        self.query, self.key_value = linear(width, width), linear(width, 2 * width)
        self.out = linear(width, width)
        self.mlp = nn.Sequential(linear(width, 2 * width), nn.SiLU(), linear(2 * width, width))
        init_residual_branch(self.out)
        init_residual_branch(self.mlp[-1])  # type: ignore[arg-type]

    def forward(self, x_MNC: Tensor, context_MSC: Tensor, seen_MS: Tensor | None = None) -> Tensor:
        """`seen` says what of the context there is; without it, all."""
        q_MHND = rearrange(self.query(self.norm(x_MNC)), "m n (heads d) -> m heads n d", heads=self.heads)
        key_value = self.key_value(self.context_norm(context_MSC))
        k, v = rearrange(key_value, "m s (two heads d) -> two m heads s d", two=2, heads=self.heads)
        mask = None if seen_MS is None else seen_MS[:, None, None]
        attended = F.scaled_dot_product_attention(q_MHND, k, v, attn_mask=mask)
        x_MNC = x_MNC + self.out(rearrange(attended, "m heads n d -> m n (heads d)"))
        return x_MNC + self.mlp(self.mlp_norm(x_MNC))  # type: ignore[no-any-return]


def linear(dim_in: int, dim_out: int) -> nn.Linear:
    return init_conv(nn.Linear(dim_in, dim_out))


def grid_positions(grid: tuple[int, int], device: torch.device) -> Tensor:
    """The middle of each position, row by row: [P, 2] as shares of height and width, so that any size has the same."""
    rows, columns = ((torch.arange(side, device=device) + 0.5) / side for side in grid)
    return torch.cartesian_prod(rows, columns).reshape(-1, 2)


def stretching(length: int, side: int, like: Tensor) -> Tensor:
    """The matrix [length, side] that interpolates linearly between `side` values, each in the middle of its share."""
    places = ((torch.arange(length, device=like.device) + 0.5) * side / length - 0.5).clamp(0, side - 1)
    weights = 1 - (places[:, None] - torch.arange(side, device=like.device)).abs()
    return weights.clamp(min=0).to(like.dtype)


def fourier_features(positions_P2: Tensor) -> Tensor:
    """Sines and cosines [P, 16] of both coordinates."""
    angles_P2F = positions_P2[..., None] * math.pi * positions_P2.new_tensor(FREQUENCIES)
    return torch.cat([angles_P2F.sin(), angles_P2F.cos()], -1).flatten(1)


def spread_centers(radius_N: Tensor, heads: int) -> Tensor:
    """[N, H, 2]: tokens all over the picture, the first ones too, and the heads of each in a ring."""
    numbers_N1 = torch.arange(len(radius_N))[:, None]
    centers_N2 = (0.5 + numbers_N1 / torch.tensor([PLASTIC, PLASTIC**2])) % 1
    angle_H = 2 * math.pi * (torch.arange(heads) + 0.5) / heads
    ring_H2 = torch.stack([angle_H.sin(), angle_H.cos()], -1) * (heads > 1)
    return centers_N2[:, None] + radius_N[:, None, None] * ring_H2
