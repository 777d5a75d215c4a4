"""A task that kills its process costs itself alone; real processes die by signal and by timeout."""

import multiprocessing
import os
import signal
import time
from functools import partial

import pytest

from videogen.errors import ResourceError
from videogen.executors.base import TIMED_OUT, TaskResult
from videogen.executors.local import LocalExecutor

RAISE = partial(map, signal.raise_signal)  # a task: its task is a list of signals, sent to its own process in turn
HARMLESS = [signal.SIGCHLD, signal.SIGCHLD]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_ends_whoever_dies(workers: int) -> None:
    deadly = {1: signal.SIGABRT, 4: signal.SIGSEGV, 5: signal.SIGKILL}
    tasks = [[signal.SIGCHLD, deadly[number]] if number in deadly else HARMLESS for number in range(8)]
    results = dict(LocalExecutor(workers).run_each(RAISE, tasks))
    assert results == {
        number: TaskResult((None,), f"signal {deadly[number].name}")
        if number in deadly
        else TaskResult((None, None), None)
        for number in range(8)
    }


def test_a_job_that_hangs_is_given_up() -> None:
    tasks = [[0.0, 3600.0], [0.0]]
    results = dict(LocalExecutor(1).run_each(partial(map, time.sleep), tasks, lambda task: 5 if len(task) > 1 else 600))
    assert results == {0: TaskResult((None,), TIMED_OUT), 1: TaskResult((None,), None)}


def test_no_jobs_start_no_process() -> None:
    assert list(LocalExecutor(4).run_each(RAISE, [])) == []


def test_processes_that_cannot_start_are_an_error_and_no_verdict_on_the_files() -> None:
    with pytest.raises(ResourceError, match="__main__"):
        list(LocalExecutor(1).run_each(DiesOnArrival(), [HARMLESS]))  # type: ignore[arg-type]


class DiesOnArrival:
    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


def test_leaving_early_leaves_no_process() -> None:
    running = LocalExecutor(2).run_each(partial(map, time.sleep), [[0.0], [3600.0]])
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []
