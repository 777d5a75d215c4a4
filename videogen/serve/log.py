"""The log of a server, on stderr: a time and a level on each line, and nothing of what is asked for.

A client can make the same thing go wrong thousands of times a second; so what repeats itself is counted, not written.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FORMAT, TIME = "%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"
OURS = "videogen"
ALIKE, WINDOW = 3, 10.0  # messages of one kind that are written in so many seconds
MOST_KINDS = 1000  # that are told apart


class Repeats(logging.Filter):
    """Lets the first few messages of a kind pass; the first one after a while says how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}  # when its window began, and how many came in it

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, str(record.msg).partition("\n")[0]), self.clock()
        began, count = self._seen.get(kind, (now, 0))
        if now - began >= WINDOW:
            if count > ALIKE:
                record.msg = f"{record.msg} (and {count - ALIKE} more like it in the meantime)"
            began, count = now, 0
        if len(self._seen) >= MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = began, count + 1
        return count < ALIKE


@contextmanager
def log_on_stderr(quiet: bool = False) -> Iterator[None]:
    """Everything of warnings and errors; of ours what happens, too, unless it is to be quiet."""
    handler, root, ours = logging.StreamHandler(), logging.getLogger(), logging.getLogger(OURS)
    handler.setFormatter(logging.Formatter(FORMAT, TIME))
    handler.addFilter(Repeats())
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        root.removeHandler(handler)
