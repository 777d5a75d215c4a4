"""The records of an index, and their lines of JSON."""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

from videogen.data.sources.entry import Entry, ReadFailure
from videogen.io import Cell, Scan, Source, Span, path_of
from videogen.storage import Location, ObjectStat, RemotePath, below

Backend = Literal["decord", "pyav"]
CELL = "cell"  # marks the place of a value in a Parquet file


@dataclass(frozen=True)
class Stamp:
    """Equal for a file that has not changed: its size, and its time of change in nanoseconds.

    A remote object has its ETag, or what else its store calls a version, instead of the time.
    """

    size: int
    version: int | str


@dataclass(frozen=True)
class FileRecord:
    """One video, whole or a span of an archive: either `scan` and `backend`, or the `failure` to read it.

    `place` identifies it: its path below the root of the set, as JSON text.
    """

    place: str
    stamp: Stamp | None
    scan: Scan | None
    backend: Backend | None
    failure: ReadFailure | None


def json_line(value: Any) -> str:
    """JSON on one line, in ASCII; equal values give equal bytes."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def place_of(source: Source, root: Location) -> str:
    path = path_of(source)
    known = below(path, root) if path.is_relative_to(cast(Any, root)) else str(path)
    if isinstance(source, Cell):
        return json_line([known, CELL, source.row_group, source.row, source.column])
    return json_line([known, source.start, source.length, source.name] if isinstance(source, Span) else [known])


def source_at(place: str, root: Location) -> Source:
    path, *span = json.loads(place)
    if span[:1] == [CELL]:
        return Cell(root / path, *span[1:])
    return Span(root / path, *span) if span else root / path


def pinned(source: Source, stamp: Stamp) -> Source:
    """A remote source, to be read only as the object of this stamp; a local one as it is."""
    path = path_of(source)
    if not isinstance(path, RemotePath):
        return source
    known = path.pinned(ObjectStat(stamp.size, str(stamp.version)))
    return replace(source, path=known) if isinstance(source, Span | Cell) else known


def record_to_json(record: FileRecord) -> dict[str, Any]:
    known: dict[str, Any] = {
        "file": json.loads(record.place),
        "stamp": [record.stamp.size, record.stamp.version] if record.stamp else None,
    }
    if record.failure is not None:
        return {**known, "kind": record.failure.kind, "detail": record.failure.detail}
    return {
        **known,
        "backend": record.backend,
        "scan": {field.name: getattr(record.scan, field.name) for field in fields(Scan)},
    }


def record_from_json(line: dict[str, Any]) -> FileRecord:
    place = json_line(line["file"])
    stamp = Stamp(*line["stamp"]) if line["stamp"] else None
    if "kind" in line:
        return FileRecord(place, stamp, None, None, ReadFailure(line["kind"], line["detail"]))
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in line["scan"].items()
    }
    return FileRecord(place, stamp, Scan(**values), line["backend"], None)


def entry_to_json(entry: Entry, root: Location) -> dict[str, Any]:
    line: dict[str, Any] = {
        "clip": entry.key,
        "file": json.loads(place_of(entry.source, root)),
        "caption": entry.caption,
    }
    if entry.start is not None:
        line["start"] = entry.start
    if entry.end is not None:
        line["end"] = entry.end
    if entry.failure is not None:
        line |= {"kind": entry.failure.kind, "detail": entry.failure.detail}
    return line


def entry_from_json(line: dict[str, Any], root: Location) -> Entry:
    failure = ReadFailure(line["kind"], line["detail"]) if "kind" in line else None
    source = source_at(json_line(line["file"]), root)
    return Entry(line["clip"], source, line["caption"], line.get("start"), line.get("end"), failure)
