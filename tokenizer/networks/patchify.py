"""Pixels to patches and back without loss, in the basis of pixels or of Haar wavelets.

The network then runs at the reduced size: no convolution works on three channels at full resolution.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn


class Patchify(nn.Module):
    """[B, C, T, H, W] <-> [B, T / time, H / space, W / space, C * time * space * space], exact to the bit."""

    def __init__(self, time: int, space: int):
        super().__init__()
        self.time, self.space = time, space

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        size = {"a": self.time, "p": self.space, "q": self.space}
        return rearrange(clip_BCTHW, "b c (t a) (h p) (w q) -> b t h w (c a p q)", **size).contiguous()

    def inverse(self, x_BTHWC: Tensor) -> Tensor:
        size = {"a": self.time, "p": self.space, "q": self.space}
        return rearrange(x_BTHWC, "b t h w (c a p q) -> b c (t a) (h p) (w q)", **size)


class HaarPatchify(Patchify):
    """Patches in the orthonormal basis of Haar wavelets: means and differences instead of pixels.

    It preserves energy and is invertible up to float rounding. Most of a smooth patch is in its first coefficient.
    """

    basis: Tensor

    def __init__(self, time: int, space: int):
        super().__init__(time, space)
        basis = torch.kron(haar_basis(time), torch.kron(haar_basis(space), haar_basis(space)))
        self.register_buffer("basis", basis.float(), persistent=False)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        x_BTHWCn = torch.unflatten(super().forward(clip_BCTHW), -1, (clip_BCTHW.shape[1], -1))
        return (x_BTHWCn @ self.basis.to(x_BTHWCn.dtype).T).flatten(-2)

    def inverse(self, x_BTHWC: Tensor) -> Tensor:
        x_BTHWCn = torch.unflatten(x_BTHWC, -1, (-1, self.basis.shape[0]))
        return super().inverse((x_BTHWCn @ self.basis.to(x_BTHWC.dtype)).flatten(-2))


def haar_basis(size: int) -> Tensor:
    """The orthonormal Haar matrix [size, size] in float64, size a power of two: the mean first, the finest last."""
    if size == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    one, step = torch.ones(2, dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
    coarse = torch.kron(haar_basis(size // 2), one)
    fine = torch.kron(torch.eye(size // 2, dtype=torch.float64), step)
    return torch.cat([coarse, fine]) / math.sqrt(2)
