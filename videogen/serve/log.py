"""The server's log on stderr: a time and a level on each line, and nothing that clients ask for.

A client can cause the same error thousands of times a second, so repeated messages are counted instead of written.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FORMAT, TIME = "%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"
PACKAGE = "videogen"
MAX_REPEATS, WINDOW_SECONDS = 3, 10.0  # messages of one kind that are written in a window
MAX_KINDS = 1000  # kinds of messages that are remembered


class RepeatFilter(logging.Filter):
    """Passes the first messages of a kind in a window; the first one of a later window says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}  # of a kind: start of its window, and its count

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, str(record.msg).partition("\n")[0]), self.clock()
        start, count = self._windows.get(kind, (now, 0))
        if now - start >= WINDOW_SECONDS:
            if count > MAX_REPEATS:
                record.msg = f"{record.msg} (and {count - MAX_REPEATS} more like it in the meantime)"
            start, count = now, 0
        if len(self._windows) >= MAX_KINDS:
            self._windows.clear()
        self._windows[kind] = start, count + 1
        return count < MAX_REPEATS


@contextmanager
def log_on_stderr(quiet: bool = False) -> Iterator[None]:
    """Warnings and errors of all packages; also our information, unless `quiet`."""
    handler, root, ours = logging.StreamHandler(), logging.getLogger(), logging.getLogger(PACKAGE)
    handler.setFormatter(logging.Formatter(FORMAT, TIME))
    handler.addFilter(RepeatFilter())
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        root.removeHandler(handler)
