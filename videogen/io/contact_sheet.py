"""Clips to look at: a contact sheet of frames with captions, and a mosaic that plays all clips side by side."""

from __future__ import annotations

import math
import string
import textwrap
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

GAP, TEXT_SIZE, LINE_HEIGHT = 4, 14, 19
PAPER, INK = (250, 249, 246), (30, 30, 34)
LETTER, WIDE_LETTER = 0.52, 0.66  # of TEXT_SIZE: about the width of a letter in Pillow's own font, and in the other
OTHER_FONT = "DejaVuSans.ttf"  # has more letters; Pillow looks for it among the fonts of the system
NO_LETTER = "\U0010ffff"  # no font has it, so it shows what a font draws for a missing letter
ENLARGED_BELOW = 112  # pixels a side


def contact_sheet(
    clips: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int = 8, scale: int | None = None
) -> Image:
    """One row for each clip uint8 [T, H, W, 3]: `columns` frames evenly spaced in time, the caption below them.

    Frames are enlarged by the whole number `scale`; by default small frames are.
    """
    from PIL import Image, ImageDraw, ImageFont

    if len(clips) != len(captions):
        raise ValueError(f"{len(clips)} clips, but {len(captions)} captions")
    own = ImageFont.load_default(size=TEXT_SIZE)
    strips = [_strip(clip, columns, scale) for clip in clips]
    width = max((strip.shape[1] for strip in strips), default=200) + 2 * GAP
    written = [_legible(caption, own) for caption in captions]
    texts = [_lines(caption, width, LETTER if font is own else WIDE_LETTER) for caption, font in written]
    heights = [strip.shape[0] + LINE_HEIGHT * len(text) + 3 * GAP for strip, text in zip(strips, texts, strict=True)]
    sheet = Image.new("RGB", (width, sum(heights) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = GAP
    for strip, text, height, (_, font) in zip(strips, texts, heights, written, strict=True):
        sheet.paste(Image.fromarray(strip), (GAP, top))
        pen.multiline_text((GAP, top + strip.shape[0] + GAP // 2), "\n".join(text), INK, font)
        top += height
    return sheet


def mosaic(clips: Sequence[NDArray[np.uint8]], columns: int | None = None, scale: int = 2) -> NDArray[np.uint8]:
    """Clips of one size side by side: uint8 [T, rows * H, columns * W, 3], black in empty places."""
    columns = columns or math.ceil(math.sqrt(len(clips)))
    rows = math.ceil(len(clips) / columns)
    frames, height, width, _ = clips[0].shape
    empty = [np.zeros_like(clips[0])] * (rows * columns - len(clips))
    grid = np.stack([*clips, *empty]).reshape(rows, columns, frames, height, width, 3)
    whole = grid.transpose(2, 0, 3, 1, 4, 5).reshape(frames, rows * height, columns * width, 3)
    return whole.repeat(scale, axis=1).repeat(scale, axis=2)


def _lines(caption: str, width: int, letter: float) -> list[str]:
    return textwrap.wrap(caption, max(10, int(width / (letter * TEXT_SIZE)))) or ["(no caption)"]


def _legible(caption: str, own: Font) -> tuple[str, Font]:
    """The caption and a font that has its letters; accents that no font here has are removed."""
    from PIL import ImageFont

    if not _lacking(own, caption):
        return caption, own
    font, caption = own, unicodedata.normalize("NFC", caption)
    with suppress(OSError):  # not on this machine
        font = ImageFont.truetype(OTHER_FONT, TEXT_SIZE)
    lacking = _lacking(font, caption)
    return "".join(_plain(letter) if letter in lacking else letter for letter in caption), font


def _lacking(font: Font, text: str) -> set[str]:
    """The letters that the font does not have."""
    drawn = {letter: font.getmask(letter) for letter in {*text, NO_LETTER} - set(string.whitespace)}
    shapes = {letter: (mask.size, bytes(mask)) for letter, mask in drawn.items()}
    nothing = shapes.pop(NO_LETTER)
    return {letter for letter, shape in shapes.items() if shape == nothing}


def _plain(letter: str) -> str:
    """The letter without its accents where that gives an ASCII letter; otherwise the letter."""
    bare = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return bare if bare.isascii() else letter


def _strip(clip: NDArray[np.uint8], columns: int, scale: int | None) -> NDArray[np.uint8]:
    """At most `columns` frames side by side, uint8 [H, W, 3]."""
    chosen = np.unique(np.linspace(0, len(clip) - 1, columns).round().astype(int))
    factor = scale or max(1, round(ENLARGED_BELOW / max(clip.shape[1:3])))
    frames = clip[chosen].repeat(factor, axis=1).repeat(factor, axis=2)
    gap = np.full((frames.shape[1], GAP, 3), PAPER, np.uint8)
    pieces = [piece for frame in frames for piece in (frame, gap)][:-1]
    return np.concatenate(pieces, axis=1)
