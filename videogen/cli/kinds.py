"""Kinds of arguments: what is wrong with one is said before any work begins."""

import math
import os
import re
from pathlib import Path
from typing import Any

import click

from videogen.errors import UsageError

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class Above0(click.FloatRange):
    """A number above 0, and not infinite; nan is no number."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a number above 0", param, ctx)
        return number


class Size(click.ParamType):  # type: ignore[type-arg]
    """HEIGHTxWIDTH, such as 128x192."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        height, cross, width = str(value).lower().partition("x")
        if not (cross and height.isdecimal() and width.isdecimal()):
            self.fail(f"'{value}' is not of the form HEIGHTxWIDTH, such as 128x192", param, ctx)
        return int(height), int(width)


class Scale(click.ParamType):  # type: ignore[type-arg]
    """A factor such as 4 or 2.5, or HEIGHTxWIDTH."""

    name = "FACTOR|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "float | tuple[int, int]":
        text = str(value).lower()
        if re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
            height, _, width = text.partition("x")
            return int(height), int(width)
        try:
            factor = float(text.removesuffix("x"))
        except ValueError:
            factor = math.nan
        if not 0 < factor < math.inf:
            self.fail(f"'{value}' is no factor above 0, such as 4, and no size, such as 512x512", param, ctx)
        return factor


class NewFile(click.ParamType):  # type: ignore[type-arg]
    """A file to be written: its suffix says what it will be, and its folder is there."""

    name = "file"

    def __init__(self, *suffixes: str):
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.suffix.lower() not in self.suffixes:
            self.fail(f"'{path}' does not end in {', '.join(self.suffixes)}", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"'{path}' cannot be written: {path.absolute().parent} is no folder", param, ctx)
        return path


class OutFolder(click.ParamType):  # type: ignore[type-arg]
    """A folder to be written into: it is there, or nothing but folders is on its way."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        nearest = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
        if not nearest.is_dir():
            self.fail(f"{nearest}: a file is in the way", param, ctx)
        if not os.access(nearest, os.W_OK):
            self.fail(f"'{path}' cannot be written: {nearest} is closed to you", param, ctx)
        return path


def refuse_taken(path: Path | None, overwrite: bool) -> None:
    """UsageError for a file that is there and is not to be replaced."""
    if path is not None and path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; --overwrite replaces it")


PICTURE = NewFile(*PICTURES)
FILM = NewFile(*FILMS)
OUT_FOLDER = OutFolder()
ABOVE_0 = Above0()
DRAWING = NewFile(".svg")
