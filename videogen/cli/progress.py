"""Progress on stderr, with an estimate of the time left: a bar in a terminal, elsewhere a line from time to time."""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

FIRST_LINE, LONGEST_PAUSE = 30.0, 600.0  # seconds to the first line, and at most between two
PAUSE_SHARE = 0.1  # of the time so far, between two lines: a short command says more often how far it is
LONGEST_TEXT = 32  # of a prompt beside a bar
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}{postfix}]"
COUNT = "{desc}: {n_fmt}{unit} [{elapsed}{postfix}]"  # where nobody knows how much there is


class TimeLeft:
    """Estimates the remaining time from the pace since the first report, or in the second half of a long time.

    What was done before the first report was done by an earlier run; what is found ready soon after it, too.
    """

    def __init__(self) -> None:
        self._reports: deque[tuple[float, int]] = deque()
        self._began = 0.0

    def tick(self, done: int) -> None:
        now = time.monotonic()
        if not self._reports:
            self._began = now
        elif now - self._reports[-1][0] < (now - self._began) / 100:
            return  # a hundred reports are enough
        self._reports.append((now, done))
        while len(self._reports) > 2 and self._reports[1][0] <= (self._began + now) / 2:
            self._reports.popleft()

    def pace(self, done: int) -> float | None:
        """How many a second; None before a first measurement."""
        if not self._reports:
            return None
        then, before = self._reports[0]
        seconds = time.monotonic() - then
        return (done - before) / seconds if done > before and seconds > 0 else None

    def text(self, done: int, total: int) -> str:
        """Such as "3 h 05 min left"; empty at the end, and before a first measurement."""
        pace = self.pace(done)
        return "" if pace is None or done >= total else f"{in_hours((total - done) / pace)} left"


class ProgressDisplay:
    """`show(done, total)` is the `on_progress` to pass down; a total of 0 is unknown."""

    def __init__(self, label: str, unit: str, print_line: Callable[[str], None] | None, hidden: bool) -> None:
        """`print_line` gets the lines where there is no terminal; None: the command prints lines of its own."""
        self.time_left, self._label, self._unit = TimeLeft(), label, unit
        self._print_line = None if hidden or is_terminal() else print_line
        self._began = self._printed = time.monotonic()
        self._has_bar = not hidden and is_terminal()
        self._bar: Any = None

    def __enter__(self) -> "ProgressDisplay":
        self._open_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int, about: str = "") -> None:
        """Without `with`, the bar is there from the first call on."""
        self.time_left.tick(done)
        if self._has_bar:
            self._show_bar(self._open_bar(), done, total, about)
        elif self._print_line is not None:
            self._show_line(self._print_line, done, total)

    def _open_bar(self) -> Any:
        if self._has_bar and self._bar is None:
            from tqdm import tqdm

            unit = "" if self._unit == "%" else f" {self._unit}"
            self._bar = tqdm(desc=self._label, unit=unit, bar_format=COUNT, dynamic_ncols=True)
        return self._bar

    def _show_bar(self, bar: Any, done: int, total: int, about: str) -> None:
        pace = self.time_left.pace(done)
        speed = "" if pace is None or self._unit == "%" else f"{pace:.3g} {self._unit}/s"
        about = about if len(about) <= LONGEST_TEXT else about[: LONGEST_TEXT - 1] + "…"
        parts = (speed, self.time_left.text(done, total), about)
        bar.total, bar.bar_format = total or None, BAR if total else COUNT
        bar.set_postfix_str(", ".join(part for part in parts if part), refresh=False)
        bar.update(done - bar.n)

    def _show_line(self, print_line: Callable[[str], None], done: int, total: int) -> None:
        now = time.monotonic()
        pause = min(max(FIRST_LINE, PAUSE_SHARE * (now - self._began)), LONGEST_PAUSE)
        if now - self._printed >= pause:
            self._printed = now
            print_line(self.line(done, total))

    def line(self, done: int, total: int) -> str:
        """Such as "encoding: 120 of 5,000 clips, 14 min left"."""
        count = f"{done:,} {self._unit}" if not total else f"{done:,} of {total:,} {self._unit}"
        count = f"{done} %" if self._unit == "%" else count
        left = self.time_left.text(done, total)
        return f"{self._label}: {count}{left and ', '}{left}"


def print_above_bars(text: str) -> None:
    """Print a line to stderr; a bar moves down."""
    if not is_terminal():
        print(text, file=sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def in_hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"
