"""One line of a training set before its video has been read: its name, where it lies, what it is said to show."""

from dataclasses import dataclass
from pathlib import PurePath

from videogen.io import Source

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv", ".y4m"}
)


@dataclass(frozen=True)
class Fault:
    """Why something cannot be used: one word to count by, and a sentence for the person who looks."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Entry:
    """A captioned clip: the seconds from `start` to `end` of a video, or all of it.

    An end behind the last frame means the last frame; a start behind it makes indexing refuse the clip ("range").
    Keys are unique within a set, and its order. `fault` is set where reading the video can no longer help: a caption
    that is no text, a name that occurs twice in an archive.
    """

    key: str
    source: Source
    caption: str
    start: float | None = None
    end: float | None = None
    fault: Fault | None = None


def is_video_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder on the way to it, has a name that begins with a dot (which `..` is not)."""
    return any(part.startswith(".") and part not in (".", "..") for part in PurePath(name).parts)
