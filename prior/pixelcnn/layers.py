"""Masked convolutions with gates, in two stacks without a blind spot.

Published as van den Oord et al., "Conditional image generation with PixelCNN decoders" (2016). The vertical stack sees
the rows above a token, the horizontal stack the tokens before it in its row and, through the vertical one, those above.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prior.linear import Linear


class GatedLayer(nn.Module):
    """One layer of both stacks; the first one does not see the token itself, later ones see what it has made of it."""

    def __init__(self, width: int, first: bool):
        super().__init__()
        self.first = first
        self.vertical = nn.Conv2d(width, 2 * width, (2, 3))
        self.horizontal = nn.Conv2d(width, 2 * width, (1, 2))
        self.across = nn.Conv2d(2 * width, 2 * width, 1)  # from the vertical stack to the horizontal one
        self.conditions = nn.ModuleList(nn.Conv2d(width, 2 * width, 1) for _ in range(2))
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, vertical: Tensor, horizontal: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Both stacks and the condition of each token, [B, C, h, w] each."""
        for_vertical, for_horizontal = (layer(condition) for layer in self.conditions)
        above = self.vertical(rows_above(vertical, self.first))
        before = self.horizontal(columns_before(horizontal, self.first))
        rows, out = gate(above + for_vertical), self.out(gate(before + self.across(above) + for_horizontal))
        # The first layer adds nothing to its input, in which a token would see itself.
        return (rows, out) if self.first else (vertical + rows, horizontal + out)


def rows_above(x: Tensor, strictly: bool) -> Tensor:
    """Padded so that a kernel of 2 x 3 sees the row above and the own row, or with `strictly` the two rows above."""
    return F.pad(x, (1, 1, 2, 0))[:, :, :-1] if strictly else F.pad(x, (1, 1, 1, 0))


def columns_before(x: Tensor, strictly: bool) -> Tensor:
    """Padded so that a kernel of 2 sees the column before and the own column, or with `strictly` the two before."""
    return F.pad(x, (2, 0))[..., :-1] if strictly else F.pad(x, (1, 0))


def gate(x: Tensor) -> Tensor:
    value, share = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(share)


class PastReader(nn.Module):
    """What a latent frame is conditioned on at each token: the window of frames before it, the text and the control."""

    def __init__(self, width: int, window: int, text_length: int):
        super().__init__()
        self.window = window
        self.frames = nn.Conv3d(width, width, (window, 3, 3), padding=(0, 1, 1))
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.text = Linear(text_length * width, width) if text_length else None

    def forward(self, frames_BCThw: Tensor) -> Tensor:
        """Embedded frames [B, C, window - 1 + T, h, w], to T conditions [B, T, C, h, w], each of `window` frames."""
        read = self.frames(frames_BCThw).transpose(1, 2)
        near = self.near(F.silu(read.flatten(0, 1))).view(read.shape)
        out: Tensor = read + near
        return out

    def of_text(self, context_BLC: Tensor) -> Tensor:
        """[B, C]; a word counts at its place, so that colors stay with their things."""
        assert self.text is not None
        out: Tensor = self.text(context_BLC.flatten(1))
        return out
