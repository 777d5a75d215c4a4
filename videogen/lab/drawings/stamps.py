"""The picture of one thing: float32 [h, w], how much of each pixel is ink, from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Stamp = NDArray[np.float32]
FINER = 8  # things are drawn this much larger, so that their edges fall between pixels too
SHAPES = ("disc", "square", "triangle", "cross")


def word_stamp(word: str, size: int) -> Stamp:
    """A word in Pillow's own font; `size` is that of the font in pixels, capitals are about 0.7 of it high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=size)
    sheet = Image.new("L", (size * len(word) + size, 2 * size), 0)
    ImageDraw.Draw(sheet).text((size // 2, size // 2), word, 255, font)
    box = sheet.getbbox()
    assert box is not None, "a word has letters"
    return ink_of(np.asarray(sheet.crop(box)))


def shape_stamp(shape: str, side: int) -> Stamp:
    """One of SHAPES that fills a square of `side` pixels."""
    end, third = side * FINER - 1, side * FINER / 3
    draw: dict[str, Callable[[ImageDraw], None]] = {
        "disc": lambda pen: pen.ellipse((0, 0, end, end), 255),
        "square": lambda pen: pen.rectangle((0, 0, end, end), 255),
        "triangle": lambda pen: pen.polygon([(end / 2, 0), (end, end), (0, end)], 255),
        "cross": lambda pen: cross(pen, end, third),
    }
    return drawn(side, side, draw[shape])


def line_stamp(width: int, length: int, degrees: float) -> Stamp:
    """A straight line of this width in pixels at this angle to the rows."""
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    w, h = (math.ceil(round(length * abs(a) + width * abs(b), 6)) for a, b in ((x, y), (y, x)))
    rows, columns = ((np.arange(side * FINER) + 0.5) / FINER - side / 2 for side in (h, w))
    along, across = x * columns + y * rows[:, None], y * columns - x * rows[:, None]
    inside = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)
    stamp: Stamp = inside.reshape(h, FINER, w, FINER).mean((1, 3), dtype=np.float32)
    return stamp


def cross(pen: ImageDraw, end: float, third: float) -> None:
    pen.rectangle((third, 0, end - third, end), 255)
    pen.rectangle((0, third, end, end - third), 255)


def drawn(width: int, height: int, draw: Callable[[ImageDraw], None]) -> Stamp:
    """What `draw` draws on a sheet FINER times as large."""
    from PIL import Image, ImageDraw

    sheet = Image.new("L", (width * FINER, height * FINER), 0)
    draw(ImageDraw.Draw(sheet))
    return ink_of(np.asarray(sheet.resize((width, height), Image.Resampling.BOX)))


def ink_of(gray_HW: NDArray[np.uint8]) -> Stamp:
    return gray_HW.astype(np.float32) / np.float32(255)
