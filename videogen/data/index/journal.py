"""The journal of an unfinished run of indexing: one line for each finished file, so that a killed run resumes.

Each line begins with a digest of the rest. The first line that does not match, torn by a kill or a power cut, ends the
journal; the next run truncates the file there and goes on.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from videogen.data.index.jsonl import FileRecord, json_line, record_from_json, record_to_json
from videogen.errors import LockedError

SYNC_SECONDS = 1.0  # work that a power cut can cost; a kill loses no line


class Journal:
    """An open journal: `records` is what it held, by place; `append` adds to the file."""

    def __init__(self, file: BinaryIO, header: dict[str, Any]) -> None:
        lines, length = _valid_lines(file.read())
        if not lines or lines[0] != header:
            lines, length = [], 0
        self.records = {record.place: record for record in map(record_from_json, lines[1:])}
        self._file, self._synced = file, time.monotonic()
        file.truncate(length)  # the file is open for appending: what is written next goes there
        if not lines:
            self._write(header)

    def append(self, record: FileRecord) -> None:
        self._write(record_to_json(record))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _write(self, value: dict[str, Any]) -> None:
        text = json_line(value).encode()
        self._file.write(_digest(text) + b" " + text + b"\n")
        self._file.flush()


@contextmanager
def open_journal(path: Path, header: dict[str, Any]) -> Iterator[Journal]:
    """The journal at `path`, held by this process alone; emptied if it was begun under another header."""
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{path}: another process is indexing this set; wait for it or stop it") from None
        file.seek(0)
        journal = Journal(file, header)
        try:
            yield journal
        finally:
            os.fsync(file.fileno())


def _valid_lines(raw: bytes) -> tuple[list[dict[str, Any]], int]:
    """The values of the leading lines that are whole, and their length in bytes."""
    values, length = [], 0
    for line in raw.splitlines(keepends=True):
        digest, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or digest != _digest(text):
            break
        values.append(json.loads(text))
        length += len(line)
    return values, length


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
