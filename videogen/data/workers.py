"""A pool of processes that may die: a task that kills its process costs that task alone.

`concurrent.futures` gives up the whole pool when one process is killed, and decoders of hostile files kill theirs.
"""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from videogen.errors import ResourceError

Function = Callable[[Any], Iterator[Any]]  # of a task
READY, VALUE, DONE = "ready", "value", "done"
TIMED_OUT = "it took too long"
START_TIMEOUT = 600.0  # seconds for a process to start, on the slowest machine


@dataclass(frozen=True)
class TaskResult:
    """The values that a task yielded, and how its process died if it did before the task was done."""

    values: tuple[Any, ...]
    died: str | None


def run_each(
    function: Function, tasks: Sequence[Any], workers: int, timeout: Callable[[Any], float]
) -> Iterator[tuple[int, TaskResult]]:
    """(number of the task, its result) for every task, as they end. The function and the tasks must be picklable.

    A task whose process dies is tried once more, because another may have taken the memory; one that takes longer than
    `timeout(task)` seconds is ended.
    """
    waiting = deque(range(len(tasks)))
    tried_before: set[int] = set()
    pool = [_Worker(function) for _ in range(min(workers, len(tasks)))]
    try:
        while waiting or any(worker.busy for worker in pool):
            for place, worker in enumerate(pool):
                if worker.gone:
                    pool[place] = worker = _Worker(function)
                if waiting and not worker.busy:
                    number = waiting.popleft()
                    worker.assign(number, tasks[number], timeout(tasks[number]))
            for number, result in _results(pool):
                if result.died not in (None, TIMED_OUT) and number not in tried_before:
                    tried_before.add(number)
                    waiting.append(number)
                else:
                    yield number, result
    finally:
        for worker in pool:
            worker.kill()


def _results(pool: list["_Worker"]) -> Iterator[tuple[int, TaskResult]]:
    busy = {worker.connection: worker for worker in pool if worker.busy}
    until = min(worker.deadline for worker in busy.values())
    ready = wait(list(busy), timeout=max(0.0, until - time.monotonic()))
    for connection, worker in busy.items():
        result = None
        if connection in ready:
            result = worker.receive()
        elif time.monotonic() >= worker.deadline:
            result = worker.time_out()
        if result is not None:
            yield result


@dataclass
class _Worker:
    """The parent's end of one process."""

    function: Function
    values: list[Any] = field(default_factory=list)
    number: int | None = None
    timeout: float = 0.0
    deadline: float = 0.0
    ready: bool = False
    gone: bool = False

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # fork copies locks that threads hold
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.function), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def busy(self) -> bool:
        return self.number is not None

    def assign(self, number: int, task: Any, timeout: float) -> None:
        self.number, self.values, self.timeout = number, [], timeout
        self.deadline = time.monotonic() + (timeout if self.ready else START_TIMEOUT)
        with suppress(OSError):  # the process has died; `receive` finds out
            self.connection.send(task)

    def receive(self) -> tuple[int, TaskResult] | None:
        try:
            what, value = self.connection.recv()
        except (EOFError, OSError):
            return self._died()
        if what == READY:
            self.ready, self.deadline = True, time.monotonic() + self.timeout
        elif what == VALUE:
            self.values.append(value)
        else:
            return self._finish(None)
        return None

    def time_out(self) -> tuple[int, TaskResult]:
        self.kill()
        return self._finish(TIMED_OUT)

    def kill(self) -> None:
        """End the process."""
        self.gone = True
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _died(self) -> tuple[int, TaskResult]:
        self.process.join()
        code = self.process.exitcode or 0
        died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if not self.ready:
            raise ResourceError(
                f"a worker process died before it started ({died}): memory is short, or a script that indexes does not "
                "keep its work below `if __name__ == '__main__':`"
            )
        self.kill()
        return self._finish(died)

    def _finish(self, died: str | None) -> tuple[int, TaskResult]:
        assert self.number is not None
        number, self.number = self.number, None
        return number, TaskResult(tuple(self.values), died)


def _serve(connection: "Connection[Any, Any]", function: Function) -> None:
    """The process: receives tasks and sends the values they yield, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send((READY, None))
        while True:
            for value in function(connection.recv()):
                connection.send((VALUE, value))
            connection.send((DONE, None))
