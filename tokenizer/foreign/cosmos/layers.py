"""The parts of a level: norm of a frame, residual block, down- and upsampling. Parts have their published names."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenizer.networks.blocks import init_residual_branch
from tokenizer.networks.convolution import FrameConv, TimeConv, init_conv, last_frames
from tokenizer.streaming import State, Streaming, StreamingSequential


class WholeFrameNorm(nn.Module):
    """All positions and channels of a frame to mean 0 and variance 1, then a scale and a shift of each channel.

    It is a group norm of one group. As a layer norm over a row of numbers its sums do not depend on the number of
    threads.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return F.layer_norm(x_BTHWC, x_BTHWC.shape[2:], eps=1e-6) * self.weight + self.bias


def separable_conv(dim_in: int, dim_out: int) -> StreamingSequential:
    """3 x 3 within the frame, then three frames of each position."""
    return StreamingSequential([FrameConv(dim_in, dim_out, 3), TimeConv(dim_out, dim_out, 3)])


class CosmosBlock(Streaming):
    """shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))))))."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.norm1, self.norm2 = WholeFrameNorm(dim_in), WholeFrameNorm(dim_out)
        self.conv1, self.conv2 = separable_conv(dim_in, dim_out), separable_conv(dim_out, dim_out)
        self.nin_shortcut = FrameConv(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()
        init_residual_branch(cast(TimeConv, self.conv2.layers[-1]).conv)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        before = (None, None) if state is None else state
        y_BTHWD, first = self.conv1(F.silu(self.norm1(x_BTHWC)), before[0])
        y_BTHWD, second = self.conv2(F.silu(self.norm2(y_BTHWD)), before[1])
        return self.nin_shortcut(x_BTHWC) + y_BTHWD, (first, second)


class CosmosDownsample(Streaming):
    """Halves space, then time, as asked: the mean of two plus a strided convolution; then a linear layer.

    In time the kernel sees the frame before the two, so frames must come in pairs; before a stream is its first frame.
    """

    def __init__(self, dim: int, time: int, space: int):
        super().__init__()
        self.conv1 = init_conv(nn.Conv2d(dim, dim, 3, stride=2)) if space == 2 else None
        self.conv2 = init_conv(nn.Conv2d(dim, dim, (3, 1), stride=(2, 1))) if time == 2 else None
        self.conv3 = FrameConv(dim, dim, 1)
        for conv in (self.conv1, self.conv2):
            if conv is not None:
                init_residual_branch(conv)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        after: tuple[Tensor, ...] = ()
        if self.conv1 is not None:
            x_BTHWC = self.halve_space(x_BTHWC, self.conv1)
        if self.conv2 is not None:
            past = x_BTHWC[:, :1] if state is None else cast(tuple[Tensor, ...], state)[0]
            after, x_BTHWC = last_frames(x_BTHWC, 1), self.halve_time(torch.cat([past, x_BTHWC], dim=1), self.conv2)
        return self.conv3(x_BTHWC), after

    def halve_space(self, x_BTHWC: Tensor, conv: nn.Conv2d) -> Tensor:
        x_NCHW = F.pad(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2), (0, 1, 0, 1))
        y_NCHW = conv(x_NCHW) + F.avg_pool2d(x_NCHW, 2)
        return torch.unflatten(y_NCHW.permute(0, 2, 3, 1), 0, x_BTHWC.shape[:2])

    def halve_time(self, seen_BSHWC: Tensor, conv: nn.Conv2d) -> Tensor:
        y_BCTS = conv(seen_BSHWC.flatten(2, 3).permute(0, 3, 1, 2))
        y_BTHWC = torch.unflatten(y_BCTS.permute(0, 2, 3, 1), 2, seen_BSHWC.shape[2:4])
        return y_BTHWC + torch.unflatten(seen_BSHWC[:, 1:], 1, (-1, 2)).mean(2)


class CosmosUpsample(Streaming):
    """Doubles time, then space, as asked: the nearest value plus a convolution of it; then a linear layer."""

    def __init__(self, dim: int, time: int, space: int):
        super().__init__()
        self.conv1 = TimeConv(dim, dim, 3) if time == 2 else None
        self.conv2 = FrameConv(dim, dim, 3) if space == 2 else None
        self.conv3 = FrameConv(dim, dim, 1)
        for layer in (self.conv1, self.conv2):
            if layer is not None:
                init_residual_branch(layer.conv)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        after: State = ()
        if self.conv1 is not None:
            x_BTHWC = x_BTHWC.repeat_interleave(2, dim=1)
            change_BTHWC, after = self.conv1(x_BTHWC, state)
            x_BTHWC = x_BTHWC + change_BTHWC
        if self.conv2 is not None:
            x_BTHWC = x_BTHWC.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x_BTHWC = x_BTHWC + self.conv2(x_BTHWC)
        return self.conv3(x_BTHWC), after
