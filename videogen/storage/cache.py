"""Blocks of remote objects on the local disk: each with its SHA-256, all together below a limit.

A block is written under another name and renamed, so a kill leaves no half block. It is counted before it is written,
and both are done under a lock, so several processes and threads stay below the limit together. The block that was not
used for the longest time goes first.
"""

import fcntl
import hashlib
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from videogen.errors import UsageError

FOLDER, BYTES = "VIDEOGEN_CACHE", "VIDEOGEN_CACHE_BYTES"
DEFAULT_BYTES = 16 * 2**30
DIGEST = 32  # bytes of a SHA-256 before the block
PARTIAL, ABANDONED_SECONDS = ".partial", 3600.0


def cache_folder() -> Path:
    """Where blocks and indexes of remote sets are kept."""
    if given := os.environ.get(FOLDER):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "videogen"


def cache_limit() -> int:
    given = os.environ.get(BYTES, str(DEFAULT_BYTES))
    if not given.isdecimal():
        raise UsageError(f"{BYTES} is {given!r}; expected a number of bytes, such as {DEFAULT_BYTES}")
    return int(given)


class BlockCache:
    """Blocks by key, in a folder that processes and runs share."""

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = cache_folder() / "blocks" if folder is None else folder
        self.limit = cache_limit() if limit is None else limit

    def get(self, key: str) -> bytes | None:
        """The block, if it is there and undamaged; a damaged one is removed."""
        place = self._place(key)
        try:
            raw = place.read_bytes()
            os.utime(place)
        except OSError:
            return None
        if hashlib.sha256(memoryview(raw)[DIGEST:]).digest() != raw[:DIGEST]:
            place.unlink(missing_ok=True)
            return None
        return raw[DIGEST:]

    def put(self, key: str, block: bytes) -> None:
        """Keep a block; where the disk does not take it, warn and go on without."""
        place, size = self._place(key), len(block) + DIGEST
        if size > self.limit:
            return
        partial = place.with_name(f"{place.name}.{os.getpid()}.{time.monotonic_ns()}{PARTIAL}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with self._room_for(size):
                partial.write_bytes(hashlib.sha256(block).digest() + block)
                partial.replace(place)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            warnings.warn(f"{self.folder}: a block cannot be kept ({error.strerror}); reading goes on", stacklevel=2)

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        """Room for so many bytes more, which are counted before they are written; one process or thread at a time."""
        with (self.folder / "bytes").open("a+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            total = int(text) if text.isdecimal() else None  # torn or new: count again
            if total is None or total + size > self.limit:
                total = self._evict(self.limit - size)
            file.seek(0)
            file.truncate()
            file.write(str(total + size))
            file.flush()
            yield

    def _evict(self, allowed: int) -> int:
        """Remove the blocks used longest ago until a tenth less than `allowed` is left; returns the bytes left."""
        found = []
        for place in self.folder.glob("??/*"):
            with suppress(OSError):
                status = place.stat()
                abandoned = place.suffix == PARTIAL and time.time() - status.st_mtime > ABANDONED_SECONDS
                found.append((0.0 if abandoned else status.st_mtime, status.st_size, place))
        total = sum(size for _, size, _ in found)
        goal = allowed if total <= allowed else allowed - self.limit // 10
        for _, size, place in sorted(found, key=lambda each: each[0]):
            if total <= max(0, goal):
                break
            place.unlink(missing_ok=True)
            total -= size
        return total

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key
