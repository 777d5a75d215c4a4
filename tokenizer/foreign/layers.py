"""Layers that several public tokenizers have, over x_BTHWC. Norms and attention do not reach over time.

Modules inside a layer have their published names, but for a `conv` too many where ours wrap a convolution once more.
Where a norm takes something beside the features, such as a guide, a layer of frames hands it on.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from tokenizer.networks.blocks import init_residual_branch
from tokenizer.networks.convolution import FrameConv, init_conv, last_frames
from tokenizer.streaming import State, Streaming, state_tensors

MakeNorm: TypeAlias = Callable[[int], nn.Module]  # of so many channels


class PaddedConv(Streaming):
    """A kernel over the last `taps` frames. Before a new stream lies its first frame, repeated, or zeros."""

    def __init__(self, repeats_first: bool, stride: int = 1, taps: int = 3):
        super().__init__()
        self.repeats_first, self.stride, self.taps, self.keep = repeats_first, stride, taps, taps - stride

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        frames_BTHWC, state = self.with_past(x_BTHWC, state)
        return self.convolve(frames_BTHWC), state

    def with_past(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The frames after those that the kernel sees of the past, and the state for the next call."""
        if state is None:
            first = x_BTHWC[:, :1] if self.repeats_first else torch.zeros_like(x_BTHWC[:, :1])
            past = (first,) * self.keep
        else:
            past = state_tensors(state, self.keep)
        return torch.cat([*past, x_BTHWC], dim=1), (*past, *last_frames(x_BTHWC, self.keep))[-self.keep :]

    @abstractmethod
    def convolve(self, frames_BTHWC: Tensor) -> Tensor:
        """One frame for each `stride` positions of the kernel inside these frames."""

    def seen(self, frames_BTHWC: Tensor) -> list[Tensor]:
        """The first, second and so on frame that the kernel sees, for each of its positions."""
        end = frames_BTHWC.shape[1] - self.taps + 1
        return [frames_BTHWC[:, tap : tap + end : self.stride] for tap in range(self.taps)]


class SpaceTimeConv(PaddedConv):
    """[B, T, H, W, C] -> [B, T / stride, H, W, D]: a square of pixels of the last frames, stacked as channels."""

    def __init__(self, dim_in: int, dim_out: int, repeats_first: bool, stride: int = 1, taps: int = 3, kernel: int = 3):
        super().__init__(repeats_first, stride, taps)
        self.conv = FrameConv(taps * dim_in, dim_out, kernel)

    def convolve(self, frames_BTHWC: Tensor) -> Tensor:
        return self.conv(torch.cat(self.seen(frames_BTHWC), dim=-1))  # type: ignore[no-any-return]


def stacked_taps(kernel_DCthw: Tensor) -> Tensor:
    """The kernel of a 3D convolution as that of a SpaceTimeConv, [D, t C, h, w]."""
    return kernel_DCthw.transpose(1, 2).flatten(1, 2)


class CausalResidual(Streaming):
    """x + conv2(silu(norm2(conv1(silu(norm1(x))))))"""

    def __init__(self, dim: int, make_norm: MakeNorm, make_conv: Callable[[], PaddedConv]):
        super().__init__()
        self.norm1, self.conv1 = make_norm(dim), make_conv()
        self.norm2, self.conv2 = make_norm(dim), make_conv()
        last = self.conv2.conv
        init_residual_branch(last.conv if isinstance(last, FrameConv) else last)  # type: ignore[arg-type]

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        first, second = (None, None) if state is None else split_pair(state)
        y_BTHWC, first = self.conv1(F.silu(self.norm1(x_BTHWC)), first)
        y_BTHWC, second = self.conv2(F.silu(self.norm2(y_BTHWC)), second)
        return x_BTHWC + y_BTHWC, (first, second)


def split_pair(state: State) -> tuple[State, State]:
    if not isinstance(state, tuple) or len(state) != 2:
        raise ValueError("the state of another model: expected two parts")
    return state[0], state[1]


class FrameResidual(nn.Module):
    """The same of each frame alone, from `dim_in` channels to `dim_out`."""

    def __init__(self, dim_in: int, dim_out: int, make_norm: MakeNorm):
        super().__init__()
        self.norm1, self.conv1 = make_norm(dim_in), FrameConv(dim_in, dim_out, 3)
        self.norm2, self.conv2 = make_norm(dim_out), FrameConv(dim_out, dim_out, 3)
        self.nin_shortcut = FrameConv(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()
        init_residual_branch(self.conv2.conv)

    def forward(self, x_BTHWC: Tensor, *guide: Tensor) -> Tensor:
        y_BTHWC = self.conv1(F.silu(self.norm1(x_BTHWC, *guide)))
        y_BTHWC = self.conv2(F.silu(self.norm2(y_BTHWC, *guide)))
        return self.nin_shortcut(x_BTHWC) + y_BTHWC  # type: ignore[no-any-return]


class OneHeadAttention(nn.Module):
    """x + proj_out(attention(norm(x))) over the positions of each frame, with a single head."""

    def __init__(self, dim: int, make_norm: MakeNorm):
        super().__init__()
        self.norm = make_norm(dim)
        self.q, self.k, self.v, self.proj_out = (FrameConv(dim, dim, 1) for _ in range(4))
        init_residual_branch(self.proj_out.conv)

    def forward(self, x_BTHWC: Tensor, *guide: Tensor) -> Tensor:
        normed, (t, h, w) = self.norm(x_BTHWC, *guide), x_BTHWC.shape[1:4]
        q, k, v = (rearrange(layer(normed), "b t h w c -> (b t) 1 (h w) c") for layer in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v)
        change = self.proj_out(rearrange(attended, "(b t) 1 (h w) c -> b t h w c", t=t, h=h, w=w))
        return x_BTHWC + change  # type: ignore[no-any-return]


class SpaceDown(nn.Module):
    """[B, T, H, W, C] -> [B, T, H / 2, W / 2, C]: a 3 x 3 kernel at every other pixel, zeros below and to the right."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = init_conv(nn.Conv2d(dim, dim, 3, stride=2))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        padded_NCHW = F.pad(x_BTHWC, (0, 0, 0, 1, 0, 1)).flatten(0, 1).permute(0, 3, 1, 2)
        return torch.unflatten(self.conv(padded_NCHW).permute(0, 2, 3, 1), 0, x_BTHWC.shape[:2])


class SpaceUp(nn.Module):
    """[B, T, H, W, C] -> [B, T, 2 H, 2 W, C]: each pixel four times, then a 3 x 3 kernel."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = FrameConv(dim, dim, 3)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return self.conv(repeat(x_BTHWC, "b t h w c -> b t (h p) (w q) c", p=2, q=2))  # type: ignore[no-any-return]
