"""The folder of a running server's videos: its own while it lives, and swept away by the next one if it is killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "videogen-serve-"


class ScratchFolder:
    """A lock on the folder says that its server lives: the system lets go of it however a process ends."""

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock = locked(self.path)
            if self._lock is not None and self.path.exists():  # else another server has taken it for an abandoned one
                return

    def make_again(self) -> None:
        """Where somebody who tidies up folders of temporary files has taken it."""
        if not self.path.exists():
            self.path.mkdir(0o700)
            self._let_go()
            self._lock = locked(self.path)

    def remove(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_abandoned(home: Path) -> list[Path]:
    """Folders of servers of ours that were killed."""
    removed = []
    for path in home.glob(f"{PREFIX}*"):
        lock = locked(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            removed.append(path)
    return removed


def locked(path: Path) -> int | None:
    """A descriptor that holds the folder; None where it is somebody else's, or held already."""
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
