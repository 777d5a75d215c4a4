"""The index of a training set as values: usable clips, refused clips, and the files they are in."""

from dataclasses import dataclass
from pathlib import Path

from videogen.data.index.jsonl import Backend, FileRecord, Stamp
from videogen.data.sources.entry import Entry
from videogen.io import ReadLimits, Scan
from videogen.storage import Location


@dataclass(frozen=True)
class IndexedClip:
    """An entry whose file was read, with its scan and the stamp of the file."""

    entry: Entry
    scan: Scan
    backend: Backend
    stamp: Stamp


@dataclass(frozen=True)
class RefusedClip:
    """An entry that cannot be used, and why."""

    key: str
    path: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Index:
    """A training set as it was read: every entry is in `good` or in `refused`, in the order of the keys."""

    data: Location
    path: Path
    limits: ReadLimits
    entries: tuple[Entry, ...]
    files: tuple[FileRecord, ...]
    good: tuple[IndexedClip, ...]
    refused: tuple[RefusedClip, ...]
