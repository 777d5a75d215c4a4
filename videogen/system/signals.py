"""SIGTERM, SIGHUP and Ctrl-C: asked once, work stops at the end of its step and leaves what is whole; asked twice, at
once. A hang-up that was ignored when the program began, as `nohup` does, stays ignored."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {int(number): number.name for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}


class Interrupted(KeyboardInterrupt):
    """Work that was asked to stop, and is saved: one line for the user, 128 and the signal's number for the shell."""

    def __init__(self, line: str, number: int):
        super().__init__(line)
        self.exit_code = 128 + number


class Request:
    """Which signal has asked the run to stop: its number, or 0 while none has."""

    def __init__(self) -> None:
        self.number = 0

    def take(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise Interrupted("stopped at once, without saving again", number)
        self.number = number


@contextmanager
def listening() -> Iterator[Request]:
    """Signals are remembered instead of obeyed until the block ends; only the main thread can do that."""
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    obeyed = [number for number in NAMES if not is_ignored(number)]
    before = {number: signal.signal(number, request.take) for number in obeyed}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
