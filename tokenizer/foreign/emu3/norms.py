"""The norms of the Emu3 vision tokenizer. None of them reaches over time. Weights have their published names."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.foreign.emu3.config import GROUPS
from tokenizer.networks.convolution import FrameConv


class StoredNorm(nn.Module):
    """Batch norm by stored means and variances, in training too: those of a batch would leak the future.

    Mean and variance are weights that do not learn, so that what learns is a scale and a shift of each channel.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        scale_C = self.weight * (self.running_var + 1e-5).rsqrt()
        return x_BTHWC * scale_C + (self.bias - self.running_mean * scale_C)


class FrameGroupNorm(nn.Module):
    """Each of 32 groups of channels of a frame to mean 0 and variance 1, then a scale and a shift of each channel."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return normalized(x_BTHWC) * self.weight + self.bias


class GuidedNorm(nn.Module):
    """The same, then a scale and a shift of each channel and position, by linear layers of a guide.

    The guide has a position for each square of the frame's pixels: they share what it says.
    """

    def __init__(self, dim: int, guide_dim: int):
        super().__init__()
        self.norm_layer = FrameGroupNorm(dim)
        self.conv_y, self.conv_b = FrameConv(guide_dim, dim, 1), FrameConv(guide_dim, dim, 1)
        nn.init.ones_(self.conv_y.conv.bias)  # type: ignore[arg-type]

    def forward(self, x_BTHWC: Tensor, guide_BThwG: Tensor) -> Tensor:
        scale_BThwC, shift_BThwC = self.conv_y(guide_BThwG), self.conv_b(guide_BThwG)
        shift_BThwC = self.norm_layer.bias * scale_BThwC + shift_BThwC
        scale_BThwC = self.norm_layer.weight * scale_BThwC
        h, w = guide_BThwG.shape[2:4]
        squares = rearrange(normalized(x_BTHWC), "b t (h p) (w q) c -> b t h p w q c", h=h, w=w)
        squares = squares * over_squares(scale_BThwC) + over_squares(shift_BThwC)
        return rearrange(squares, "b t h p w q c -> b t (h p) (w q) c")


def normalized(x_BTHWC: Tensor) -> Tensor:
    """Each group of channels of a frame to mean 0 and variance 1.

    As a layer norm over rows of numbers its sums depend neither on the number of threads nor on the frames beside; in
    torch's group norm of channels-last frames, which is faster, they do.
    """
    rows_BTGN = rearrange(x_BTHWC, "b t h w (g c) -> b t g (h w c)", g=GROUPS)
    rows_BTGN = F.layer_norm(rows_BTGN, rows_BTGN.shape[3:], eps=1e-6)
    return rearrange(rows_BTGN, "b t g (h w c) -> b t h w (g c)", h=x_BTHWC.shape[2], w=x_BTHWC.shape[3])


def over_squares(x_BThwC: Tensor) -> Tensor:
    return rearrange(x_BThwC, "b t h w c -> b t h 1 w 1 c")
