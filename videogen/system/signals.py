"""SIGTERM, SIGHUP and Ctrl-C: the first signal stops work after its current step, the second one at once. A SIGHUP that
was ignored when the program started (`nohup`) stays ignored."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {int(number): number.name for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}


class Interrupted(KeyboardInterrupt):
    """Work that a signal stopped, after saving: one line for the user, exit code 128 + the signal's number."""

    def __init__(self, line: str, number: int):
        super().__init__(line)
        self.exit_code = 128 + number


class StopRequest:
    """The number of the signal that requested to stop, or 0."""

    def __init__(self) -> None:
        self.number = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise Interrupted("stopped at once, without saving again", number)
        self.number = number


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Catches signals until the block ends; without effect outside the main thread."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    caught = [number for number in NAMES if not is_ignored(number)]
    before = {number: signal.signal(number, request.handle) for number in caught}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
