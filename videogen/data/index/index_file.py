"""The index on disk: JSON lines with a hash, so that a torn or edited file is noticed.

The first line holds format, version, limits, versions of the decoders, and the path of the data relative to the index
(or its URL). Then comes one line for each file and one for each clip, sorted; the last line counts them and holds the
SHA-256 of all bytes before it.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from videogen.data.index.jsonl import (
    FileRecord,
    entry_from_json,
    entry_to_json,
    json_line,
    record_from_json,
    record_to_json,
)
from videogen.data.sources.entry import Entry
from videogen.data.sources.find import root_of
from videogen.errors import DataError
from videogen.io import ReadLimits
from videogen.storage import Location

FORMAT, VERSION = "videogen-index", 2
READABLE = (1, VERSION)  # version 1 has no transparent and missing frames
OPENING = f'{{"format":"{FORMAT}"'.encode()


def header_of(data: Location, path: Path, limits: ReadLimits) -> dict[str, Any]:
    """All that must be equal for records of an earlier run to be used again."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "data": Path(os.path.relpath(data, path.parent)).as_posix() if isinstance(data, Path) else str(data),
        "limits": dataclasses.asdict(limits),
        "decoders": {name: _version(name) for name in ("av", "decord")},
    }


def write_index(
    path: Path, header: dict[str, Any], files: Iterable[FileRecord], entries: Sequence[Entry], root: Location
) -> None:
    """Replace the index in one step."""
    values = [header, *map(record_to_json, sorted(files, key=lambda record: record.place))]
    values += [entry_to_json(entry, root) for entry in entries]
    body = "".join(json_line(value) + "\n" for value in values).encode()
    end = {"end": len(values), "sha256": hashlib.sha256(body).hexdigest()}
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(body + json_line(end).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def read_index(path: Path, data: Location) -> tuple[dict[str, Any], dict[str, FileRecord], tuple[Entry, ...]]:
    """Header, files by place, and entries; DataError if it is not an index, of another version, or damaged."""
    raw = path.read_bytes()
    if not raw.startswith(OPENING):
        raise DataError(f"{path}: not an index of videogen")
    body, end = _split_last_line(raw)
    if end != {"end": body.count(b"\n"), "sha256": hashlib.sha256(body).hexdigest()}:
        raise DataError(f"{path}: damaged or edited since it was written; run `videogen data index {data}` again")
    header, *lines = map(json.loads, body.splitlines())
    if header["version"] not in READABLE:
        raise DataError(
            f"{path}: of version {header['version']}, not {VERSION}; run `videogen data index {data}` again"
        )
    records = [record_from_json(line) for line in lines if "clip" not in line]
    entries = tuple(entry_from_json(line, root_of(data)) for line in lines if "clip" in line)
    return header, {record.place: record for record in records}, entries


def sync_folder(folder: Path) -> None:
    """Make a rename or removal in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _split_last_line(raw: bytes) -> tuple[bytes, Any]:
    border = raw.rfind(b"\n", 0, len(raw) - 1) + 1
    try:
        return raw[:border], json.loads(raw[border:])
    except ValueError:
        return raw[:border], None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
