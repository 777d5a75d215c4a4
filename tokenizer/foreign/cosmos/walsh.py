"""Patches of 4 x 4 x 4 pixels in a Walsh basis: means and differences with the signs of all halves at once.

Two steps of a full packet of Haar filters, both of low and high frequencies, have coefficients whose weights are all of
one size. So each is a sum of all pixels of a patch with signs. Filters here are scaled so that the first coefficient is
the mean of the patch; the inverse only adds and subtracts.
"""

import torch
from einops import rearrange
from torch import Tensor

from tokenizer.networks.patchify import Patchify

SIDE = 4


class WalshPatchify(Patchify):
    """[B, C, T, H, W] <-> [B, T / 4, H / 4, W / 4, 64 C]: the coefficient first, then the channel."""

    signs: Tensor

    def __init__(self) -> None:
        super().__init__(SIDE, SIDE)
        self.register_buffer("signs", walsh_signs().float(), persistent=False)

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        x_BTHWCn = torch.unflatten(super().forward(clip_BCTHW), -1, (clip_BCTHW.shape[1], -1))
        signs = self.signs.to(x_BTHWCn.dtype)
        return (x_BTHWCn @ signs.T / len(signs)).transpose(-1, -2).flatten(-2)

    def inverse(self, x_BTHWC: Tensor) -> Tensor:
        x_BTHWCn = torch.unflatten(x_BTHWC, -1, (len(self.signs), -1)).transpose(-1, -2)
        return super().inverse((x_BTHWCn @ self.signs.to(x_BTHWC.dtype)).flatten(-2))


def walsh_signs() -> Tensor:
    """[64, 64] of 1 and -1: a row for each coefficient, a column for each pixel of a patch.

    A row counts through (time, height, width) of the halves of the patch, then through those of the halves of a half:
    0 adds both, 1 takes their difference.
    """
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    line = torch.kron(pair, pair)  # both rows and columns: halves, then halves of a half
    volume = torch.kron(line, torch.kron(line, line))
    return rearrange(volume, "(t u h i w j) n -> (t h w u i j) n", t=2, u=2, h=2, i=2, w=2, j=2)
