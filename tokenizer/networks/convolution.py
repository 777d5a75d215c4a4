"""Convolutions over x_BTHWC, all computed as 2D convolutions in channels-last layout.

Measured on a CPU (one thread, 4 clips of 5 frames, 32 x 32 x 64 to 8 x 8 x 256): a temporal kernel of 3 as a linear
layer over stacked frames runs at 39 to 83 GFLOP/s, as conv3d at 36 to 75, as a 2D convolution over the plane
(time, height * width) at 146 to 174. A linear layer is also slower than the same layer as a 1 x 1 convolution.
"""

from typing import TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.matmul_conv import MatmulConv2d
from tokenizer.streaming import State, Streaming, state_tensors

Layer = TypeVar("Layer", bound=nn.Conv2d | nn.Linear)


class FrameConv(nn.Module):
    """[B, T, H, W, C] -> [B, T, H, W, D]: an odd square kernel over each frame, with zeros beyond the border."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int):
        super().__init__()
        self.conv = init_conv(MatmulConv2d(dim_in, dim_out, kernel, padding=kernel // 2))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        if x_BTHWC.shape[1] == 1 and self.conv.supports(x_BTHWC[:, 0]):
            return self.conv.matmul(x_BTHWC[:, 0]).unsqueeze(1)
        y_NDHW = self.conv(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2))
        return torch.unflatten(y_NDHW.permute(0, 2, 3, 1), 0, x_BTHWC.shape[:2])


class TimeConv(Streaming):
    """[B, T, H, W, C] -> [B, T, H, W, D]: a kernel over the last `kernel` frames of each position.

    The past of a new stream is its first frame, repeated. So the output for a still clip is the same at every time, and
    an image equals the start of a still clip. A kernel that is not causal sees as many frames, half of them later ones;
    the future of the clip is its last frame, repeated. It needs the whole clip in one call.
    """

    def __init__(self, dim_in: int, dim_out: int, kernel: int, causal: bool = True):
        super().__init__()
        self.later = 0 if causal else kernel // 2
        self.keep = kernel - 1 - self.later
        self.conv = init_conv(nn.Conv2d(dim_in, dim_out, (kernel, 1)))

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        assert state is None or not self.later, "a kernel that is not causal cannot go on from a state"
        past = (x_BTHWC[:, :1],) * self.keep if state is None else state_tensors(state, self.keep)
        frames_BTHWC = torch.cat([*past, x_BTHWC, *(x_BTHWC[:, -1:],) * self.later], dim=1)
        y_BDTS = self.conv(frames_BTHWC.flatten(2, 3).permute(0, 3, 1, 2))
        y_BTHWD = y_BDTS.permute(0, 2, 3, 1).unflatten(2, x_BTHWC.shape[2:4])
        return y_BTHWD, (*past, *last_frames(x_BTHWC, self.keep))[-self.keep :]


def last_frames(x_BTHWC: Tensor, count: int) -> tuple[Tensor, ...]:
    """At most `count` frames, each as a tensor of its own: a view would keep all frames in memory and on disk."""
    if x_BTHWC.shape[1] == 1:
        return (x_BTHWC,)
    return tuple(frame.clone() for frame in torch.split(x_BTHWC[:, -count:], 1, dim=1))


class Downsample(nn.Module):
    """[B, T, H, W, C] -> [B, T / time, H / space, W / space, D]: neighbors stacked as channels, then mixed."""

    def __init__(self, dim_in: int, dim_out: int, time: int, space: int):
        super().__init__()
        self.time, self.space = time, space
        self.mix = FrameConv(dim_in * time * space * space, dim_out, 1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        size = {"a": self.time, "p": self.space, "q": self.space}
        return self.mix(rearrange(x_BTHWC, "b (t a) (h p) (w q) c -> b t h w (a p q c)", **size))  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """[B, T, H, W, C] -> [B, T * time, H * space, W * space, D]: the mirror image of Downsample."""

    def __init__(self, dim_in: int, dim_out: int, time: int, space: int):
        super().__init__()
        self.time, self.space = time, space
        self.mix = FrameConv(dim_in, dim_out * time * space * space, 1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        size = {"a": self.time, "p": self.space, "q": self.space}
        return rearrange(self.mix(x_BTHWC), "b t h w (a p q c) -> b (t a) (h p) (w q) c", **size)  # type: ignore[no-any-return]


def init_conv(conv: Layer) -> Layer:
    """Initialize the layer so that its output has the variance of its input; returns it."""
    nn.init.normal_(conv.weight, std=conv.weight[0].numel() ** -0.5)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
