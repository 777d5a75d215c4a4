"""A real Ray cluster of two CPUs for the tests of one session."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from videogen.executors.base import Executor
from videogen.executors.chosen import open_executor

ACTOR = "ray::RemoteWorker"


@pytest.fixture(scope="session")
def ray_executor() -> Iterator[Executor]:
    pytest.importorskip("ray")
    with open_executor("ray", workers=2) as executor:
        yield executor


def kill(what: str) -> bool:
    """SIGKILL to a worker of a cluster of this machine, or to the process that it watches; False if there is none."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            actor, name = int(place.parent.name), place.read_bytes().decode(errors="replace")
            if not name.startswith(ACTOR):
                continue
            children = (place.parent / "task" / str(actor) / "children").read_text().split()
            victim = actor if what == "worker" else next(map(int, children), None)
        except OSError:  # it has ended
            continue
        if victim is not None:
            os.kill(victim, signal.SIGKILL)
            return True
    return False


def killer(what: str) -> Callable[[int, int], None]:
    """Kills once, when half is done: by then all processes have started."""
    killed: list[bool] = []

    def on_progress(done: int, total: int) -> None:
        if 2 * done >= total and not killed:
            assert kill(what)
            killed.append(True)

    return on_progress
