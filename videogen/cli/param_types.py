"""Types of command-line arguments: they check a value before any work begins."""

import math
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from sampling.config import SamplerConfig
from sampling.settings import SettingSpec
from videogen.errors import UsageError
from videogen.storage import Location, location

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
STDOUT = "-"
Param = click.Parameter | None
Context = click.Context | None


class SettingType(click.ParamType):  # type: ignore[type-arg]
    """A value of a sampling setting, checked against the table of settings."""

    def __init__(self, spec: SettingSpec):
        self.spec, self.name = spec, spec.kind.__name__

    def convert(self, value: Any, param: Param, ctx: Context) -> Any:
        if (new := SamplerConfig.RENAMED.get(f"{self.spec.name}={value}")) is not None:
            self.fail(f"{self.spec.name}={value} is now {new}", param, ctx)
        try:
            number = self.spec.kind(value)
        except ValueError:
            self.fail(f"{self.spec.name} = {value} must be {self.spec.expected}", param, ctx)
        try:
            self.spec.check(number)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return number

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.spec.choices if word.startswith(incomplete)]


class PositiveFloat(click.FloatRange):
    """A finite number above 0."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: Param, ctx: Context) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a finite number above 0", param, ctx)
        return number


class DataType(click.ParamType):  # type: ignore[type-arg]
    """A path, or a URL such as s3://bucket/clips."""

    name = "path or URL"

    def convert(self, value: Any, param: Param, ctx: Context) -> Location:
        try:
            return location(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """HEIGHTxWIDTH, such as 128x192."""

    name = "HxW"

    def convert(self, value: Any, param: Param, ctx: Context) -> tuple[int, int]:
        height, cross, width = str(value).lower().partition("x")
        if not (cross and height.isdecimal() and width.isdecimal()):
            self.fail(f"'{value}' does not have the form HEIGHTxWIDTH, such as 128x192", param, ctx)
        return int(height), int(width)


class CountsType(click.ParamType):  # type: ignore[type-arg]
    """Whole numbers above 0, such as 1,4,8."""

    name = "N,..."

    def convert(self, value: Any, param: Param, ctx: Context) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        texts = str(value).split(",")
        if not all(re.fullmatch(r"\s*0*[1-9]\d{0,8}\s*", text) for text in texts):
            self.fail(f"'{value}' is no list of whole numbers above 0, such as 1,4,8", param, ctx)
        return tuple(map(int, texts))


class ScaleType(click.ParamType):  # type: ignore[type-arg]
    """A factor such as 4 or 2.5, or HEIGHTxWIDTH."""

    name = "FACTOR|HxW"

    def convert(self, value: Any, param: Param, ctx: Context) -> "float | tuple[int, int]":
        text = str(value).lower()
        if re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
            height, _, width = text.partition("x")
            return int(height), int(width)
        try:
            factor = float(text.removesuffix("x"))
        except ValueError:
            factor = math.nan
        if not 0 < factor < math.inf:
            self.fail(f"'{value}' is neither a factor above 0, such as 4, nor a size, such as 512x512", param, ctx)
        return factor


class OutputFile(click.ParamType):  # type: ignore[type-arg]
    """A file to write, with one of these suffixes, in an existing folder."""

    name = "file"

    def __init__(self, *suffixes: str):
        self.suffixes = suffixes

    def convert(self, value: Any, param: Param, ctx: Context) -> Path:
        path = Path(value)
        if path.suffix.lower() not in self.suffixes:
            self.fail(f"'{path}' does not end in {', '.join(self.suffixes)}", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"'{path}' cannot be written: {path.absolute().parent} is no folder", param, ctx)
        return path


class OutputFolder(click.ParamType):  # type: ignore[type-arg]
    """A folder to write into, existing or new."""

    name = "folder"

    def convert(self, value: Any, param: Param, ctx: Context) -> Path:
        path = Path(value)
        nearest = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
        if not nearest.is_dir():
            self.fail(f"{nearest}: a file is in the way", param, ctx)
        if not os.access(nearest, os.W_OK):
            self.fail(f"'{path}' cannot be written: no permission to write into {nearest}", param, ctx)
        return path


class VideoTarget(click.ParamType):  # type: ignore[type-arg]
    """Where to write a video: a file with a known suffix in an existing folder, a folder for PNGs, or stdout."""

    name = "file"

    def convert(self, value: Any, param: Param, ctx: Context) -> str:
        out, path = str(value), Path(value)
        if out == STDOUT:
            if sys.stdout.isatty():
                self.fail("raw frames would fill the terminal; send them to a file or a program", param, ctx)
            return out
        if path.suffix and path.suffix.lower() not in VIDEO_SUFFIXES:
            suffixes = ", ".join(VIDEO_SUFFIXES)
            self.fail(f"'{out}' does not end in {suffixes}; a folder for PNGs has no suffix", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"'{out}' cannot be written: {path.absolute().parent} is no folder", param, ctx)
        if path.exists() and path.is_dir() == bool(path.suffix):
            self.fail(f"'{out}' is {'a folder' if path.suffix else 'no folder'}", param, ctx)
        return out


class PromptChange(NamedTuple):
    """Another prompt from a frame, or from a second, on."""

    at: float
    in_seconds: bool
    prompt: str

    def frame(self, fps: float) -> int:
        return round(self.at * fps) if self.in_seconds else int(self.at)


class PromptAtType(click.ParamType):  # type: ignore[type-arg]
    """5s:a blue disc, or 40:a blue disc."""

    name = "WHEN:PROMPT"

    def convert(self, value: Any, param: Param, ctx: Context) -> PromptChange:
        if isinstance(value, PromptChange):
            return value
        found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)s|(\d+)):(.*)", str(value), re.DOTALL)
        if found is None or re.match(r"\d+(\.\d+)?s?:", found[3]):
            self.fail(f"'{value}' does not have the form 5s:PROMPT (seconds) or 40:PROMPT (frames)", param, ctx)
        seconds, frame, prompt = found.groups()
        return PromptChange(float(seconds or frame), seconds is not None, prompt.strip())


class ControlParam(click.ParamType):  # type: ignore[type-arg]
    """0,0,1 (actions), 0.5,-1 (the numbers of one control), 0.5,-1;0,1 (two of them), none, or an .npy file.

    The result is a number, "none", or a list: what it means depends on the model.
    """

    name = "LIST|FILE.npy"

    def convert(self, value: Any, param: Param, ctx: Context) -> Any:
        if not isinstance(value, str):
            return value
        if value.lower().endswith(".npy"):
            return self._read(Path(value), param, ctx)
        rows = [[self._entry(each, value, param, ctx) for each in row.split(",")] for row in value.split(";")]
        return [row[0] if row == ["none"] else row for row in rows] if len(rows) > 1 else rows[0]

    def _entry(self, text: str, value: str, param: Param, ctx: Context) -> Any:
        text = text.strip()
        if text == "none":
            return text
        try:
            return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
        except ValueError:
            self.fail(f"'{value}' is neither an .npy file nor numbers, such as 0,0,1 or 0.5,-1;0,1 or none", param, ctx)

    def _read(self, path: Path, param: Param, ctx: Context) -> Any:
        import numpy as np

        try:
            rows = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            self.fail(f"{path}: not an .npy file of numbers ({error})", param, ctx)
        if not isinstance(rows, np.ndarray) or rows.ndim == 0 or rows.dtype.kind not in "iuf":
            self.fail(f"{path}: not an array of numbers with a row for each latent frame", param, ctx)
        return rows.tolist()


def refuse_overwrite(path: Path | None, overwrite: bool) -> None:
    """UsageError for an existing file without --overwrite."""
    if path is not None and path.exists() and not overwrite:
        raise UsageError(f"{path}: already exists; --overwrite replaces it")


ANY_PATH = click.Path(path_type=Path)
DATA = DataType()
EXISTING_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
IMAGE_FILE = OutputFile(*IMAGE_SUFFIXES)
VIDEO_FILE = OutputFile(*VIDEO_SUFFIXES)
SVG_FILE = OutputFile(".svg")
OUTPUT_FOLDER = OutputFolder()
POSITIVE = PositiveFloat()
