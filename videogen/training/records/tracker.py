"""What trackers of experiments get of a run, and how a run is kept from waiting for them or failing with them.

A tracker works in a thread of its own. What it raises, or how long it takes, never reaches the training: it is left
out from then on, and a note says so.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Protocol

OnNote = Callable[[str], None]
MAX_WAITING = 1000  # events; a tracker that is further behind is left out
CLOSE_SECONDS = 30.0  # for what waits to be written at the end of a run
Event = Callable[["Tracker"], None]


class Tracker(Protocol):
    """One thread makes it, calls it and closes it; anything may raise."""

    def add_scalars(self, kind: str, line: Mapping[str, Any], step: int) -> None: ...

    def add_samples(self, place: Path, step: int) -> None: ...

    def add_card(self, card: Path) -> None: ...

    def close(self) -> None: ...


class BackgroundTracker:
    """A tracker in a thread. `open_tracker` is called in it, too, because services may take long to answer."""

    def __init__(self, name: str, open_tracker: Callable[[], Tracker], on_note: OnNote):
        self.name, self._open, self._on_note = name, open_tracker, on_note
        self._events: Queue[Event | None] = Queue(MAX_WAITING)
        self._failure: BaseException | None = None
        self._left_out = False
        self._thread = threading.Thread(target=self._work, name=f"videogen {name}", daemon=True)
        self._thread.start()

    def put(self, event: Event | None) -> None:
        """Returns at once."""
        if self._failure is not None:
            self._leave_out(f"failed ({type(self._failure).__name__}: {self._failure})")
        if self._left_out:
            return
        try:
            self._events.put_nowait(event)
        except Full:
            self._leave_out(f"is {MAX_WAITING} events behind")

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait for what was put, but not for long."""
        self.put(None)
        if not self._left_out:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._leave_out(f"had not written all after {seconds:.0f} seconds")
            elif self._failure is not None:
                self._leave_out(f"failed ({type(self._failure).__name__}: {self._failure})")

    def _leave_out(self, why: str) -> None:
        if not self._left_out:
            self._left_out = True
            self._on_note(f"the tracker {self.name} {why}; it is left out from now on, the training goes on")

    def _work(self) -> None:
        try:
            tracker = self._open()
            while (event := self._next()) is not None:
                event(tracker)
            tracker.close()
        except BaseException as error:  # SystemExit, too: packages call sys.exit
            self._failure = error

    def _next(self) -> Event | None:
        while True:
            try:
                return self._events.get(timeout=1.0)
            except Empty:
                if self._left_out:
                    return None


def flatten_scalars(line: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """The numbers of a line of metrics.jsonl, those of nested mappings with a slash in their names."""
    found: list[tuple[str, float]] = []
    for name, value in line.items():
        if isinstance(value, Mapping):
            found += flatten_scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            found.append((prefix + name, float(value)))
    return found
