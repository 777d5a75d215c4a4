"""What an index knows about a file, as values and as lines of JSON."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

from videogen.data.sources.entry import Entry, Fault
from videogen.io import Scan, Source, Span

Backend = Literal["decord", "pyav"]


@dataclass(frozen=True)
class Stamp:
    """By which an unchanged file is told without reading it: size in bytes and time of change in nanoseconds."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FileRecord:
    """One video, whole or a span of an archive: `scan` and `backend`, or else the `fault` why there are none.

    `place` is its path below the root of the set, as JSON text: what tells it from others, wherever the set lies.
    """

    place: str
    stamp: Stamp | None
    scan: Scan | None
    backend: Backend | None
    fault: Fault | None


def as_line(value: Any) -> str:
    """JSON on one line, in ASCII: the same value always gives the same bytes."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def place_of(source: Source, root: Path) -> str:
    path = source.path if isinstance(source, Span) else source
    below = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return as_line([below, source.start, source.length, source.name] if isinstance(source, Span) else [below])


def source_at(place: str, root: Path) -> Source:
    path, *span = json.loads(place)
    return Span(root / path, *span) if span else cast(Path, root / path)


def path_of(source: Source) -> Path:
    return source.path if isinstance(source, Span) else source


def record_to_json(record: FileRecord) -> dict[str, Any]:
    known: dict[str, Any] = {
        "file": json.loads(record.place),
        "stamp": [record.stamp.size, record.stamp.mtime_ns] if record.stamp else None,
    }
    if record.fault is not None:
        return {**known, "kind": record.fault.kind, "detail": record.fault.detail}
    return {
        **known,
        "backend": record.backend,
        "scan": {field.name: getattr(record.scan, field.name) for field in fields(Scan)},
    }


def record_from_json(line: dict[str, Any]) -> FileRecord:
    place = as_line(line["file"])
    stamp = Stamp(*line["stamp"]) if line["stamp"] else None
    if "kind" in line:
        return FileRecord(place, stamp, None, None, Fault(line["kind"], line["detail"]))
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in line["scan"].items()
    }
    return FileRecord(place, stamp, Scan(**values), line["backend"], None)


def entry_to_json(entry: Entry, root: Path) -> dict[str, Any]:
    line: dict[str, Any] = {
        "clip": entry.key,
        "file": json.loads(place_of(entry.source, root)),
        "caption": entry.caption,
    }
    if entry.start is not None:
        line["start"] = entry.start
    if entry.end is not None:
        line["end"] = entry.end
    if entry.fault is not None:
        line |= {"kind": entry.fault.kind, "detail": entry.fault.detail}
    return line


def entry_from_json(line: dict[str, Any], root: Path) -> Entry:
    fault = Fault(line["kind"], line["detail"]) if "kind" in line else None
    source = source_at(as_line(line["file"]), root)
    return Entry(line["clip"], source, line["caption"], line.get("start"), line.get("end"), fault)
