"""Attention within square windows of each frame."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.blocks import PositionNorm, init_residual_branch
from tokenizer.networks.convolution import FrameConv
from tokenizer.networks.transformer.rotary import rotary_table, rotate


class Cut(NamedTuple):
    """How one side of a frame is cut into windows of equal length, with padding around it."""

    length: int
    window: int
    before: int
    after: int


class WindowAttention(nn.Module):
    """x + attention(norm(x)) among the positions of each window; nothing beyond the border of the frame is seen.

    Shifted windows start half a window before the frame. A frame of any size is padded to whole windows and the
    padding masked; a side that fits in one window is one window as it is, shifted or not.
    """

    table: Tensor

    def __init__(self, dim: int, heads: int, window: int, shifted: bool):
        super().__init__()
        self.heads, self.window, self.shifted = heads, window, shifted
        self.norm = PositionNorm(dim)
        self.qkv = FrameConv(dim, 3 * dim, 1)
        self.out = FrameConv(dim, dim, 1)
        init_residual_branch(self.out.conv)
        places = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        table = torch.unflatten(rotary_table(places, dim // heads), 1, (window, window))
        self.register_buffer("table", table, persistent=False)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        rows, columns = (cut(length, self.window, self.shifted) for length in x_BTHWC.shape[2:4])
        heads = {"three": 3, "heads": self.heads, "p": rows.window, "q": columns.window}
        split = "b t (y p) (x q) (three heads d) -> three (b t y x) heads (p q) d"
        qkv = rearrange(pad(self.qkv(self.norm(x_BTHWC)), rows, columns), split, **heads)
        q, k = rotate(qkv[:2], self.table[:, : rows.window, : columns.window].flatten(1, 2))
        attended = F.scaled_dot_product_attention(q, k, qkv[2], key_mask(x_BTHWC, rows, columns))
        sizes = {"b": len(x_BTHWC), "t": x_BTHWC.shape[1], "p": rows.window, "y": windows(rows), "x": windows(columns)}
        merged = rearrange(attended, "(b t y x) heads (p q) d -> b t (y p) (x q) (heads d)", **sizes)
        return x_BTHWC + self.out(crop(merged, rows, columns))  # type: ignore[no-any-return]


def cut(length: int, window: int, shifted: bool) -> Cut:
    if length <= window:
        return Cut(length, length, 0, 0)
    before = window // 2 if shifted else 0
    return Cut(length, window, before, -(before + length) % window)


def windows(side: Cut) -> int:
    return (side.before + side.length + side.after) // side.window


def pad(x_BTHWC: Tensor, rows: Cut, columns: Cut) -> Tensor:
    """Zeros (false) around each frame, up to whole windows."""
    around = (columns.before, columns.after, rows.before, rows.after)
    return F.pad(x_BTHWC, (0, 0, *around)) if any(around) else x_BTHWC


def crop(x_BTHWC: Tensor, rows: Cut, columns: Cut) -> Tensor:
    """The inverse of `pad`."""
    inside = x_BTHWC[:, :, rows.before : rows.before + rows.length]
    return inside[:, :, :, columns.before : columns.before + columns.length].contiguous()


def key_mask(x_BTHWC: Tensor, rows: Cut, columns: Cut) -> Tensor | None:
    """bool [windows of all frames, 1, 1, keys]: which keys of a window lie within the frame; None if all do.

    Every window has such keys. The mask has one number for each position, so that it needs no kernel of its own.
    """
    inside = torch.ones(1, 1, rows.length, columns.length, 1, dtype=torch.bool, device=x_BTHWC.device)
    padded = pad(inside, rows, columns)
    if padded is inside:
        return None
    sides = {"p": rows.window, "q": columns.window}
    mask = rearrange(padded, "one t (y p) (x q) c -> (t y x) one c (p q)", **sides)
    return mask.repeat(x_BTHWC.shape[0] * x_BTHWC.shape[1], 1, 1, 1)
