"""One captioned clip of a training set, before its video has been read."""

from dataclasses import dataclass
from pathlib import PurePath

from videogen.io import Source

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv", ".y4m"}
)


@dataclass(frozen=True)
class ReadFailure:
    """Why a file or a clip cannot be used: a kind to count by, and a sentence for people."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Entry:
    """A captioned clip: the seconds from `start` to `end` of a video, or all of it.

    An `end` after the last frame means the last frame; a `start` after it makes indexing refuse the clip ("range").
    Keys are unique within a set, and sorted. `failure` is set if the clip cannot be used whatever its video holds, as
    when its caption is not text or its name occurs twice in an archive.
    """

    key: str
    source: Source
    caption: str
    start: float | None = None
    end: float | None = None
    failure: ReadFailure | None = None


def is_video_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether the name of a file, or of a folder in its path, begins with a dot; `.` and `..` do not count."""
    return any(part.startswith(".") and part not in (".", "..") for part in PurePath(name).parts)
