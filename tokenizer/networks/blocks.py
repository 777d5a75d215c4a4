"""The parts of a level: norm of a position, factorized residual block, attention within a frame.

Norms and attention do not reach over time, because the future would leak into the past.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.convolution import FrameConv, TimeConv
from tokenizer.streaming import State, Streaming


class PositionNorm(nn.Module):
    """Layer norm of each position over its channels, with a learned scale.

    On CPUs layer_norm has a fused kernel: three times as fast as rms_norm, forward and backward.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return F.layer_norm(x_BTHWC, self.scale.shape, self.scale)


class ResidualBlock(Streaming):
    """x + time(silu(space(norm(x)))): a 3 x 3 kernel within the frame, then `kernel_t` frames of each position."""

    def __init__(self, dim: int, kernel_t: int, causal: bool = True):
        super().__init__()
        self.norm = PositionNorm(dim)
        self.space = FrameConv(dim, dim, 3)
        self.time = TimeConv(dim, dim, kernel_t, causal)
        init_residual_branch(self.time.conv)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        change_BTHWC, state = self.time(F.silu(self.space(self.norm(x_BTHWC))), state)
        return x_BTHWC + change_BTHWC, state


class TimeBlock(Streaming):
    """x + time(silu(mix(norm(x)))): `kernel_t` frames of each position, which sees none of its neighbors."""

    def __init__(self, dim: int, kernel_t: int, causal: bool = True):
        super().__init__()
        self.norm = PositionNorm(dim)
        self.mix = FrameConv(dim, dim, 1)
        self.time = TimeConv(dim, dim, kernel_t, causal)
        init_residual_branch(self.time.conv)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        change_BTHWC, state = self.time(F.silu(self.mix(self.norm(x_BTHWC))), state)
        return x_BTHWC + change_BTHWC, state


class FrameBlock(nn.Module):
    """x + out(silu(space(norm(x)))): a 3 x 3 kernel within the frame, and no memory."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = PositionNorm(dim)
        self.space = FrameConv(dim, dim, 3)
        self.out = FrameConv(dim, dim, 1)
        init_residual_branch(self.out.conv)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return x_BTHWC + self.out(F.silu(self.space(self.norm(x_BTHWC))))  # type: ignore[no-any-return]


def make_block(dim: int, kernel_t: int, causal: bool) -> nn.Module:
    """The residual block of a level; where a kernel holds one frame it needs no memory."""
    return ResidualBlock(dim, kernel_t, causal) if kernel_t > 1 else FrameBlock(dim)


class FrameAttention(nn.Module):
    """x + attention(norm(x)) over the positions of each frame; without position encoding, so any grid fits."""

    def __init__(self, dim: int):
        super().__init__()
        self.heads = dim // math.gcd(dim, 64)
        self.norm = PositionNorm(dim)
        self.qkv = FrameConv(dim, 3 * dim, 1)
        self.out = FrameConv(dim, dim, 1)
        init_residual_branch(self.out.conv)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        pattern = "b t h w (three heads d) -> three (b t) heads (h w) d"
        q, k, v = rearrange(self.qkv(self.norm(x_BTHWC)), pattern, three=3, heads=self.heads)
        attended = F.scaled_dot_product_attention(q, k, v)
        (b, t, h, w), back = x_BTHWC.shape[:4], "(b t) heads (h w) d -> b t h w (heads d)"
        return x_BTHWC + self.out(rearrange(attended, back, b=b, t=t, h=h, w=w))  # type: ignore[no-any-return]


def init_residual_branch(layer: nn.Conv2d | nn.Linear) -> None:
    """Scale the initial output of a residual branch to a tenth, so that the network starts as nearly linear.

    Measured on moving shapes, 400 steps: 19.4 dB instead of 15.5 with branches at full strength.
    """
    with torch.no_grad():
        layer.weight.mul_(0.1)
