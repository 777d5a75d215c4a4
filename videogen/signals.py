"""SIGTERM and Ctrl-C: asked once, work stops at the end of its step and leaves what is whole; asked twice, at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {int(signal.SIGTERM): "SIGTERM", int(signal.SIGINT): "SIGINT"}


class Interrupted(KeyboardInterrupt):
    """Work that was asked to stop, and is saved: one line for the user, 143 or 130 for the shell."""

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
    before = {number: signal.signal(number, request.take) for number in NAMES}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
