"""The folder of `--state`, which keeps jobs over restarts of the server; one server at a time holds it.

DIR/lock  DIR/jobs.sqlite3  DIR/videos/ID.mp4  DIR/initial_frames/ID.rgb

Prompts and videos are private: only the owner can read the files.
"""

import errno
import fcntl
import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from videogen.checkpoint import sync
from videogen.errors import DataError, LockedError

DATABASE, LOCK, VIDEOS, INITIAL = "jobs.sqlite3", "lock", "videos", "initial_frames"
HARMLESS = {LOCK, "lost+found"}  # what a new folder may hold already: the second is in every new ext4 volume
OURS = re.compile(r"[0-9a-f]{32}\.(mp4|rgb|part)")
BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class StateFolder:
    """Locked while it is open. LockedError if another server has it, DataError if it cannot be used."""

    def __init__(self, home: Path) -> None:
        self.home, self.path, self._initial = home, home / VIDEOS, home / INITIAL
        self.database = home / DATABASE
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            self._lock = acquire_lock(home)
            self.recreate()
            self._make_database()
        except OSError as error:
            raise DataError(f"{home}: jobs cannot be kept there ({error.strerror or error})") from None

    def _refuse_foreign(self) -> None:
        found = {entry.name for entry in self.home.iterdir()} - HARMLESS
        if found and DATABASE not in found:
            raise DataError(f"{self.home}: not empty, and without a {DATABASE}; name a new folder or that of a server")

    def _make_database(self) -> None:
        """An empty file, which only a new folder may have: without its jobs, all videos would be deleted."""
        os.close(os.open(self.database, os.O_CREAT | os.O_RDWR, 0o600))
        if self.database.stat().st_size == 0 and any(self.path.iterdir()):
            os.close(self._lock)
            raise DataError(
                f"{self.database}: empty, though {self.path} is not; put back a copy, or name another --state"
            )

    def recreate(self) -> None:
        """Make the folders again if somebody has removed them."""
        for folder in (self.path, self._initial):
            folder.mkdir(mode=0o700, exist_ok=True)

    def video(self, id: str) -> Path:
        return self.path / f"{id}.mp4"

    def initial_frames(self, id: str) -> Path:
        """Their pixels: uint8 [count, height, width, 3]."""
        return self._initial / f"{id}.rgb"

    def remove_others(self, ids: Sequence[str]) -> int:
        """Delete the files of jobs other than these, which a server that was killed has left; how many there were."""
        known = {*map(self.video, ids), *map(self.initial_frames, ids)}
        found = [file for folder in (self.path, self._initial) for file in folder.iterdir()]
        others = [file for file in found if OURS.fullmatch(file.name) and file not in known]
        for file in others:
            file.unlink(missing_ok=True)
        return len(others)

    def remove(self) -> None:
        """Give the folder back; all that is in it stays."""
        os.close(self._lock)


def acquire_lock(home: Path) -> int:
    """A descriptor whose lock the system releases however the process ends."""
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 200).decode(errors="replace").strip()
        os.close(descriptor)
        if error.errno not in BUSY:
            raise
        raise LockedError(f"{home}: in use by {holder or 'another server'}; stop it, or name another --state") from None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"the server with process {os.getpid()} on {socket.gethostname()}\n".encode())
    return descriptor


def write_synced(path: Path, data: bytes) -> None:
    """Write all of it or nothing, readable by the owner alone, and on disk when this returns."""
    write_atomically(path, data)
    sync_file(path)


def sync_file(path: Path) -> None:
    """Flush a file and its name to disk."""
    sync(path)
    sync(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write all of it or nothing, readable by the owner alone."""
    part = path.with_suffix(".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
