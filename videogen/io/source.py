"""Where the bytes of a video are, and the only function that opens them."""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from videogen.io.errors import VideoError
from videogen.storage import ChangedObjectError, Location, MissingObjectError, RemotePath
from videogen.storage.parquet import value_at
from videogen.storage.remote_file import RemoteFile


@dataclass(frozen=True)
class ReadLimits:
    """Files beyond these limits are refused before they are decoded."""

    max_bytes: int = 8 * 2**30
    max_pixels: int = 4096 * 4096
    max_frames: int = 1_000_000
    max_seconds: float = 12 * 3600.0


@dataclass(frozen=True)
class Span:
    """A video that is a part of another file, such as a member of an uncompressed tar."""

    path: Location
    start: int
    length: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"


@dataclass(frozen=True)
class Cell:
    """A video that is a value in a Parquet file: a row of a row group, in a column of structs with `bytes`."""

    path: Location
    row_group: int
    row: int
    column: str

    def __str__(self) -> str:
        return f"{self.path}: row {self.row} of row group {self.row_group}"


Source = Path | RemotePath | Span | Cell
NO_LIMITS = ReadLimits(max_bytes=1 << 62, max_pixels=1 << 30, max_frames=1 << 40, max_seconds=1e12)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def path_of(source: Source) -> Location:
    return source.path if isinstance(source, Span | Cell) else source


@contextmanager
def open_bytes(source: Source, limits: ReadLimits) -> Iterator[BinaryIO]:
    """The bytes of a regular file or a remote object, or of a span; this package opens nothing in another way.

    Decoders get this object, never a path, so no name can make them open a second file, a socket or a device.
    """
    path = path_of(source)
    with _open_whole(source, path) as (raw, size):
        start, length = (source.start, source.length) if isinstance(source, Span) else (0, size)
        if not 0 <= start <= start + length <= size:
            raise VideoError("truncated", str(source), f"lies outside its archive of {size} bytes")
        if length > limits.max_bytes:
            raise VideoError("too-large", str(source), f"{length} bytes; the limit is {limits.max_bytes}")
        if length == 0:
            raise VideoError("empty", str(source), "holds no bytes")
        yield io.BufferedReader(FileSlice(raw, start, length), buffer_size=1 << 16)


def _open_whole(source: Source, path: Location) -> AbstractContextManager[tuple[io.RawIOBase, int]]:
    """What a source is in, and its size in bytes."""
    if isinstance(source, Cell):
        return _open_cell(source)
    return _open_remote(source, path) if isinstance(path, RemotePath) else _open_local(source, path)


@contextmanager
def _open_cell(source: Cell) -> Iterator[tuple[io.RawIOBase, int]]:
    """A value of a Parquet file, in memory."""
    try:
        value = value_at(source.path, source.row_group, source.row, source.column)
    except (MissingObjectError, FileNotFoundError):
        raise VideoError("missing", str(source), "no such file") from None
    except ChangedObjectError:
        raise VideoError("changed", str(source), "not the object that was indexed; index the set again") from None
    if value is None:
        raise VideoError("missing", str(source), f"its '{source.column}' holds no bytes")
    yield cast(io.RawIOBase, io.BytesIO(value)), len(value)


@contextmanager
def _open_remote(source: Source, path: RemotePath) -> Iterator[tuple[io.RawIOBase, int]]:
    """An object and its size; its failures come out even if a decoder takes them for damage of the video."""
    raw = None
    try:
        with path.open() as file:
            raw = cast(RemoteFile, file.raw)
            yield raw, raw.stat.size
        if raw.failure is not None:
            raise raw.failure
    except MissingObjectError:
        raise VideoError("missing", str(source), "no such object") from None
    except Exception as error:
        failure = error if raw is None else raw.failure
        if isinstance(failure, ChangedObjectError):
            raise VideoError("changed", str(source), "not the object that was indexed; index the set again") from None
        if failure is not None and failure is not error:
            raise failure from None
        raise


@contextmanager
def _open_local(source: Source, path: Path) -> Iterator[tuple[io.RawIOBase, int]]:
    """A regular file and its size."""
    if _SCHEME.match(str(path)):
        raise VideoError("scheme", str(source), "a URL or a path with a scheme; only files of the set itself are read")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a FIFO would wait for its writer
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError("missing", str(source), "no such file") from None
    except (OSError, ValueError) as error:
        raise VideoError("missing", str(source), f"cannot be opened ({error})") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise VideoError("not-a-file", str(source), "not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as raw:
        yield raw, status.st_size


class FileSlice(io.RawIOBase):
    """A part of a file that reads like a whole file."""

    def __init__(self, file: io.RawIOBase, start: int, length: int) -> None:
        self._file, self._start, self._length, self._position = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._length - self._position))
        if count == 0:
            return 0
        self._file.seek(self._start + self._position)
        read = self._file.readinto(memoryview(buffer)[:count]) or 0
        self._position += read
        return read
