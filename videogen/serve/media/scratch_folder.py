"""The folder of a running server's videos; the next server deletes it if this one is killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "videogen-serve-"


class ScratchFolder:
    """A temporary folder with a lock, which the system releases however the process ends."""

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock = try_lock(self.path)
            if self._lock is not None and self.path.exists():  # else another server took it for an abandoned one
                return

    def recreate(self) -> None:
        """Make the folder again if something has cleaned up temporary folders."""
        if not self.path.exists():
            self.path.mkdir(0o700)
            self._unlock()
            self._lock = try_lock(self.path)

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_abandoned(parent: Path) -> list[Path]:
    """Delete the folders of servers that were killed."""
    removed = []
    for path in parent.glob(f"{PREFIX}*"):
        lock = try_lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            removed.append(path)
    return removed


def try_lock(path: Path) -> int | None:
    """A descriptor that locks the folder; None if another user owns it or another process has locked it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
    return None
