"""Commands say how far they are and how long the rest takes: in a terminal, and in a log."""

import io
import sys
import time

import pytest

from videogen.cli.progress import FIRST_LINE, LONGEST_PAUSE, ProgressDisplay, TimeLeft
from videogen.cli.terminal import Terminal


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_the_remaining_time_is_that_of_the_own_pace(clock: Clock) -> None:
    left = TimeLeft()
    assert left.text(0, 1000) == "", "nothing was measured yet"
    left.tick(1)
    assert left.text(1, 1000) == "", "one report has no pace"
    clock.now += 99 * 8
    left.tick(100)
    assert left.text(100, 1000) == "2 h 00 min left"
    assert left.text(1000, 1000) == ""
    resumed = TimeLeft()
    resumed.tick(901)
    clock.now += 49 * 2
    assert resumed.text(950, 1000) == "2 min left"
    clock.now -= 49
    assert resumed.text(950, 1000) == "50 s left"


def test_what_was_found_ready_does_not_hide_how_slow_the_rest_is(clock: Clock) -> None:
    left = TimeLeft()
    for done in range(500):
        left.tick(done)
        clock.now += 0.001
    for done in range(500, 560):
        clock.now += 10
        left.tick(done)
    assert left.text(559, 1000) == "1 h 14 min left", "441 times 10 s"


def run_for(progress: ProgressDisplay, clock: Clock, seconds: int) -> None:
    for second in range(seconds + 1):
        progress(second, seconds)
        clock.now += 1


def test_a_log_gets_few_lines_with_the_remaining_time(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(json=False, quiet=False).progress("encoding", "clips") as progress:
        run_for(progress, clock, int(FIRST_LINE) - 1)
    assert capsys.readouterr().err == "", "a short command says nothing"
    with Terminal(json=False, quiet=False).progress("encoding", "clips") as progress:
        run_for(progress, clock, 3600)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "encoding: 30 of 3,600 clips, 1 h 00 min left"
    assert 3600 / LONGEST_PAUSE < len(lines) < 50
    assert all(" left" in line for line in lines)


@pytest.mark.parametrize("options", [(True, False), (False, True), (False, False, True)])
def test_json_quiet_and_other_processes_say_nothing(
    options: tuple[bool, ...], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Terminal(*options).progress("encoding", "clips") as progress:
        run_for(progress, clock, 600)
    assert capsys.readouterr().err == ""


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_the_remaining_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    terminal = Terminal(json=False, quiet=False)
    with terminal.progress("generating", "frames") as progress:
        progress(4, 0)
        clock.now += 2
        progress(8, 0, "a red ring")
        terminal.note("a note")
        progress(8, 16, "a red ring")
    shown = screen.getvalue().replace("\r", "\n").splitlines()
    assert any(line.startswith("generating: 8 frames [") and "2 frames/s, a red ring]" in line for line in shown)
    assert "a note" in [line.strip() for line in shown], "on a line of its own"
    assert "8/16 frames" in shown[-1]
    assert "2 frames/s, 4 s left, a red ring]" in shown[-1]
