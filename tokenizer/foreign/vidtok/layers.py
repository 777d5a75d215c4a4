"""The layers of VidTok over x_BTHWC, beside those of `foreign/layers.py`. Norms and attention do not reach over time.

Modules inside a layer have their published names, but for a `conv` too many where ours wrap a convolution once more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenizer.foreign.layers import PaddedConv, SpaceTimeConv, split_pair
from tokenizer.networks.convolution import init_conv
from tokenizer.streaming import State, Streaming


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


class PositionConv(PaddedConv):
    """[B, T, H, W, C] -> [B, T, H, W, C]: each position sees its own last 3 frames."""

    def __init__(self, dim: int, repeats_first: bool):
        super().__init__(repeats_first)
        self.conv = init_conv(nn.Conv2d(dim, dim, (3, 1)))

    def convolve(self, frames_BTHWC: Tensor) -> Tensor:
        y_BCTS = self.conv(frames_BTHWC.flatten(2, 3).permute(0, 3, 1, 2))
        return torch.unflatten(y_BCTS.permute(0, 2, 3, 1), 2, frames_BTHWC.shape[2:4])


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
        first, second, third = self.conv.seen(frames_BTHWC)
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
