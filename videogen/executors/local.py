"""A pool of processes of this machine that may die: a task that kills its process costs that task alone.

`concurrent.futures` gives up the whole pool when one process is killed, and decoders of hostile files kill theirs.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from videogen.errors import ResourceError
from videogen.executors.base import TIMED_OUT, Function, TaskQueue, TaskResult, no_limit
from videogen.storage import Location
from videogen.system.threads import cores

READY, VALUE, DONE = "ready", "value", "done"
START_TIMEOUT = 600.0  # seconds for a process to start, on the slowest machine


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine."""

    workers: int
    own_threads: int | None = None  # of each; None: an equal share of the cores

    @property
    def threads(self) -> int:
        return self.own_threads or max(1, cores() // self.workers)

    @property
    def is_local(self) -> bool:
        return True

    def check(self, paths: Iterable[Location], shared: Path | None = None) -> None:
        """All processes see the same files."""

    def run_each(
        self, function: Function, tasks: Sequence[Any], timeout: Callable[[Any], float] = no_limit
    ) -> Iterator[tuple[int, TaskResult]]:
        """As `Executor` promises."""
        queue = TaskQueue(len(tasks))
        pool = [WorkerProcess(function) for _ in range(min(self.workers, len(tasks)))]
        try:
            while queue or any(worker.busy for worker in pool):
                for place, worker in enumerate(pool):
                    if worker.gone:
                        pool[place] = worker = WorkerProcess(function)
                    if queue and not worker.busy:
                        number = queue.take()
                        worker.assign(number, tasks[number], timeout(tasks[number]))
                for number, result in results_of(pool):
                    if queue.is_final(number, result):
                        yield number, result
        finally:
            for worker in pool:
                worker.kill()


def results_of(pool: Sequence["WorkerProcess"]) -> Iterator[tuple[int, TaskResult]]:
    """What has ended, after waiting for a message of any worker."""
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
class WorkerProcess:
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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send((READY, None))
        while True:
            for value in function(connection.recv()):
                connection.send((VALUE, value))
            connection.send((DONE, None))


def _end_with_parent() -> None:
    """A parent that was killed cannot end this process, which would hold a lock until its task is done."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
