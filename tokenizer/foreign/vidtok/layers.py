"""The layers of VidTok over x_BTHWC. Norms and attention do not reach over time.

Modules inside a layer have their published names, but for a `conv` too many where ours wrap a convolution once more.
"""

from abc import abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from tokenizer.networks.blocks import init_residual_branch
from tokenizer.networks.convolution import FrameConv, init_conv, last_frames
from tokenizer.streaming import State, Streaming, state_tensors


class AffineNorm(nn.Module):
    """Layer norm of each position over its channels, with a learned scale and shift."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return self.norm(x_BTHWC)  # type: ignore[no-any-return]


class NormSiLU(AffineNorm):
    """silu(norm(x))"""

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return F.silu(super().forward(x_BTHWC))


class PaddedConv(Streaming):
    """A kernel over the last 3 frames. Before a new stream lies its first frame, repeated, or zeros."""

    def __init__(self, repeats_first: bool, stride: int = 1):
        super().__init__()
        self.repeats_first, self.stride, self.keep = repeats_first, stride, 3 - stride

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


class PositionConv(PaddedConv):
    """[B, T, H, W, C] -> [B, T, H, W, C]: each position sees its own last 3 frames."""

    def __init__(self, dim: int, repeats_first: bool):
        super().__init__(repeats_first)
        self.conv = init_conv(nn.Conv2d(dim, dim, (3, 1)))

    def convolve(self, frames_BTHWC: Tensor) -> Tensor:
        y_BCTS = self.conv(frames_BTHWC.flatten(2, 3).permute(0, 3, 1, 2))
        return torch.unflatten(y_BCTS.permute(0, 2, 3, 1), 2, frames_BTHWC.shape[2:4])


class SpaceTimeConv(PaddedConv):
    """[B, T, H, W, C] -> [B, T / stride, H, W, D]: 3 x 3 pixels of the last 3 frames, stacked as channels."""

    def __init__(self, dim_in: int, dim_out: int, repeats_first: bool, stride: int = 1):
        super().__init__(repeats_first, stride)
        self.conv = FrameConv(3 * dim_in, dim_out, 3)

    def convolve(self, frames_BTHWC: Tensor) -> Tensor:
        return self.conv(torch.cat(every(frames_BTHWC, self.stride), dim=-1))  # type: ignore[no-any-return]


def every(frames_BTHWC: Tensor, stride: int) -> list[Tensor]:
    """The first, second and third frame that a kernel sees, for each of its places."""
    end = frames_BTHWC.shape[1] - 2
    return [frames_BTHWC[:, k : k + end : stride] for k in range(3)]


class CausalResidual(Streaming):
    """x + conv2(silu(norm2(conv1(silu(norm1(x))))))"""

    def __init__(self, dim: int, make_conv: Callable[[], PositionConv | SpaceTimeConv]):
        super().__init__()
        self.norm1, self.conv1 = NormSiLU(dim), make_conv()
        self.norm2, self.conv2 = NormSiLU(dim), make_conv()
        last = self.conv2.conv
        init_residual_branch(last.conv if isinstance(last, FrameConv) else last)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        first, second = (None, None) if state is None else split_pair(state)
        y_BTHWC, first = self.conv1(self.norm1(x_BTHWC), first)
        y_BTHWC, second = self.conv2(self.norm2(y_BTHWC), second)
        return x_BTHWC + y_BTHWC, (first, second)


def split_pair(state: State) -> tuple[State, State]:
    if not isinstance(state, tuple) or len(state) != 2:
        raise ValueError("the state of another model: expected those of two convolutions")
    return state[0], state[1]


class FrameResidual(nn.Module):
    """The same of each frame alone, from `dim_in` channels to `dim_out`."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.norm1, self.conv1 = NormSiLU(dim_in), FrameConv(dim_in, dim_out, 3)
        self.norm2, self.conv2 = NormSiLU(dim_out), FrameConv(dim_out, dim_out, 3)
        self.nin_shortcut = FrameConv(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()
        init_residual_branch(self.conv2.conv)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        y_BTHWC = self.conv2(self.norm2(self.conv1(self.norm1(x_BTHWC))))
        return self.nin_shortcut(x_BTHWC) + y_BTHWC  # type: ignore[no-any-return]


class OneHeadAttention(nn.Module):
    """x + proj_out(attention(norm(x))) over the positions of each frame, with a single head."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = AffineNorm(dim)
        self.q, self.k, self.v, self.proj_out = (FrameConv(dim, dim, 1) for _ in range(4))
        init_residual_branch(self.proj_out.conv)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        normed, (t, h, w) = self.norm(x_BTHWC), x_BTHWC.shape[1:4]
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


class SigmaMix(Streaming):
    """sigma(mix_factor) plain + (1 - sigma(mix_factor)) convolved: two ways to another number of frames."""

    def __init__(self, dim: int, repeats_first: bool, stride: int = 1):
        super().__init__()
        self.conv = SpaceTimeConv(dim, dim, repeats_first, stride)
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))

    def mix(self, plain_BTHWC: Tensor, convolved_BTHWC: Tensor) -> Tensor:
        share = torch.sigmoid(self.mix_factor)
        return share * plain_BTHWC + (1 - share) * convolved_BTHWC


class TimeDown(SigmaMix):
    """[B, T, H, W, C] -> [B, T / 2, H, W, C]: means of 3 frames, and a kernel over the same frames."""

    def __init__(self, dim: int, repeats_first: bool):
        super().__init__(dim, repeats_first, stride=2)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        frames_BTHWC, state = self.conv.with_past(x_BTHWC, state)
        first, second, third = every(frames_BTHWC, 2)
        return self.mix((first + second + third) / 3, self.conv.convolve(frames_BTHWC)), state


class TimeUp(SigmaMix):
    """[B, T, H, W, C] -> [B, 2 T, H, W, C]: each frame twice, and a kernel over these frames."""

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        return self.mixed(x_BTHWC.repeat_interleave(2, dim=1), state)

    def mixed(self, doubled_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        convolved_BTHWC, state = self.conv(doubled_BTHWC, state)
        return self.mix(doubled_BTHWC, convolved_BTHWC), state


class LinearTimeUp(TimeUp):
    """The same with frames between those that come in; the `alone` frames of the first latent frame apart.

    The second of the two frames that each becomes lies between it and the next, so the last one is held back until the
    next frame comes. The state is the last frame, none after the first latent frame, and that of the kernel.
    """

    def __init__(self, dim: int, repeats_first: bool, alone: int):
        super().__init__(dim, repeats_first)
        self.alone = alone

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        first = self.alone if state is None else 0
        last_BTHWC, kernel = (x_BTHWC[:, :0].clone(), None) if state is None else self.split(state)
        doubled, x_BTHWC = [between(x_BTHWC[:, :first])] if first else [], x_BTHWC[:, first:]
        if x_BTHWC.shape[1]:
            # of the frames that the last one becomes the first has gone; the last of these waits for the next frame
            frames_BTHWC = between(torch.cat([last_BTHWC, x_BTHWC], dim=1))
            doubled.append(frames_BTHWC[:, last_BTHWC.shape[1] : -1])
            last_BTHWC = x_BTHWC[:, -1:].clone()
        mixed_BTHWC, kernel = self.mixed(torch.cat(doubled, dim=1), kernel)
        return mixed_BTHWC, (last_BTHWC, kernel)

    def finish(self, x_BTHWC: Tensor | None, state: State | None) -> Tensor | None:
        before = []
        if x_BTHWC is not None:
            out_BTHWC, state = self(x_BTHWC, state)
            before.append(out_BTHWC)
        if state is None:
            return None
        last_BTHWC, kernel = self.split(state)
        if last_BTHWC.shape[1]:
            before.append(self.mixed(between(last_BTHWC)[:, 1:], kernel)[0])
        return torch.cat(before, dim=1) if before else None

    def split(self, state: State) -> tuple[Tensor, State]:
        last_BTHWC, kernel = split_pair(state)
        if not isinstance(last_BTHWC, Tensor):
            raise ValueError("the state of another layer: expected the last frame and the state of a convolution")
        return last_BTHWC, kernel


def between(x_BTHWC: Tensor) -> Tensor:
    """Twice as many frames, each 3 / 4 of the nearest and 1 / 4 of the next nearest; the outer ones are plain."""
    before, after = (
        torch.cat(parts, 1) for parts in ((x_BTHWC[:, :1], x_BTHWC[:, :-1]), (x_BTHWC[:, 1:], x_BTHWC[:, -1:]))
    )
    both = torch.stack([0.75 * x_BTHWC + 0.25 * before, 0.75 * x_BTHWC + 0.25 * after], dim=2)
    return both.flatten(1, 2)
