"""Presets by name: `video_128`, or `tokenizer/video_128` if two share a name.

They are in `configs/` of the checkout; `videogen/presets` is a link to it, and a copy in an installed package.
"""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from videogen.config.strict_yaml import ConfigError, nearest

PRESETS = Path(__file__).parents[1] / "presets"
LAUNCHERS = "accelerate"  # files for the launcher of accelerate, not for this program


def presets(folders: Iterable[str]) -> dict[str, Path]:
    """`folder/name` -> file; the folders are named for the schemas of their files."""
    return {f"{folder}/{place.stem}": place for folder in folders for place in sorted(PRESETS.glob(f"{folder}/*.yaml"))}


def find_config(word: str | Path, folders: Iterable[str]) -> Path:
    """The file of this path, or the preset of this name; otherwise a ConfigError with the known names."""
    path, name = Path(word), Path(word).as_posix().removesuffix(".yaml")
    if path.is_file():
        return path
    known = presets(folders)
    called = [full for full in known if name in (full, full.partition("/")[2])]
    if len(called) == 1:
        return known[called[0]]
    if called:
        raise ConfigError(f"'{word}' is the name of several presets; give one of {', '.join(called)}")
    what = "not a regular file" if path.exists() else "no such file"
    meant = [full for full in known if full.endswith(f"/{path.stem}")]
    hint = f"; did you mean the preset '{meant[0]}'?" if meant else nearest(name, short_names(known))
    raise ConfigError(f"{path}: {what}, and no preset of that name{hint}")


def short_names(names: Iterable[str]) -> list[str]:
    """The names without their folders where that is unambiguous."""
    names = list(names)
    stems = [name.partition("/")[2] for name in names]
    return [stem if stems.count(stem) == 1 else name for name, stem in zip(names, stems, strict=True)]


def shown_name(path: Path) -> str:
    """The name of a configuration file in messages: for presets, the path below their folder."""
    return path.relative_to(PRESETS).as_posix() if path.is_relative_to(PRESETS) else str(path)


def purpose(path: Path) -> str:
    """The purpose of a file: the first sentence of its first comment."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    words = " ".join(line.lstrip("#").strip() for line in lines)
    return re.split(r"(?<=[.:]) (?=[A-Zv])", words, maxsplit=1)[0].rstrip(":.")
