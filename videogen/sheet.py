"""Clips to look at: a contact sheet for the eye that reads, a mosaic for the eye that watches."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

GAP, TEXT_SIZE, LINE_HEIGHT = 4, 14, 19
PAPER, INK = (250, 249, 246), (30, 30, 34)
COMFORTABLE = 112  # pixels a side below which frames are enlarged


def contact_sheet(
    clips: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int = 8, scale: int | None = None
) -> Image:
    """A row a clip, uint8 [T, H, W, 3]: `columns` frames evenly spaced in time, the caption under them.

    Frames are enlarged by the whole number `scale`, by default until they can be seen well.
    """
    from PIL import Image, ImageDraw, ImageFont

    if len(clips) != len(captions):
        raise ValueError(f"{len(clips)} clips, but {len(captions)} captions")
    font = ImageFont.load_default(size=TEXT_SIZE)
    strips = [_strip(clip, columns, scale) for clip in clips]
    width = max((strip.shape[1] for strip in strips), default=200) + 2 * GAP
    texts = [
        textwrap.wrap(caption, max(10, int(width / (0.52 * TEXT_SIZE)))) or ["(no caption)"] for caption in captions
    ]
    heights = [strip.shape[0] + LINE_HEIGHT * len(text) + 3 * GAP for strip, text in zip(strips, texts, strict=True)]
    sheet = Image.new("RGB", (width, sum(heights) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for strip, text, height in zip(strips, texts, heights, strict=True):
        sheet.paste(Image.fromarray(strip), (GAP, top))
        pen.multiline_text((GAP, top + strip.shape[0] + GAP // 2), "\n".join(text), INK, font)
        top += height
    return sheet


def mosaic(clips: Sequence[NDArray[np.uint8]], columns: int | None = None, scale: int = 2) -> NDArray[np.uint8]:
    """All clips, of one size, playing side by side: uint8 [T, rows * H, columns * W, 3], black where there is none."""
    columns = columns or math.ceil(math.sqrt(len(clips)))
    rows = math.ceil(len(clips) / columns)
    frames, height, width, _ = clips[0].shape
    empty = [np.zeros_like(clips[0])] * (rows * columns - len(clips))
    grid = np.stack([*clips, *empty]).reshape(rows, columns, frames, height, width, 3)
    whole = grid.transpose(2, 0, 3, 1, 4, 5).reshape(frames, rows * height, columns * width, 3)
    return whole.repeat(scale, axis=1).repeat(scale, axis=2)


def _strip(clip: NDArray[np.uint8], columns: int, scale: int | None) -> NDArray[np.uint8]:
    """At most `columns` frames side by side, uint8 [H, W, 3]."""
    chosen = np.unique(np.linspace(0, len(clip) - 1, columns).round().astype(int))
    factor = scale or max(1, round(COMFORTABLE / max(clip.shape[1:3])))
    frames = clip[chosen].repeat(factor, axis=1).repeat(factor, axis=2)
    gap = np.full((frames.shape[1], GAP, 3), PAPER, np.uint8)
    pieces = [piece for frame in frames for piece in (frame, gap)][:-1]
    return np.concatenate(pieces, axis=1)
