"""Processes that may die: each job runs in a process of its own kind, and a job that kills it costs that job alone.

`concurrent.futures` gives up the whole pool when one process is killed; decoders of hostile files do kill theirs.
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

Task = Callable[[Any], Iterator[Any]]
READY, SAID, DONE = "ready", "said", "done"
TOO_LONG = "it took too long"
TO_START = 600.0  # seconds that a process may need to begin, on the slowest of machines


@dataclass(frozen=True)
class Ending:
    """What a job yielded, and how its process died, if it did before the job was done."""

    said: tuple[Any, ...]
    died: str | None


def run_each(
    task: Task, jobs: Sequence[Any], workers: int, patience: Callable[[Any], float]
) -> Iterator[tuple[int, Ending]]:
    """(number of the job, its ending) for every job, as they end. Task and jobs must be picklable.

    A job whose process dies is tried once more, for another may have taken the memory; one that takes longer than
    `patience(job)` seconds is ended.
    """
    waiting = deque(range(len(jobs)))
    tried_before: set[int] = set()
    crew = [_Worker(task) for _ in range(min(workers, len(jobs)))]
    try:
        while waiting or any(worker.busy for worker in crew):
            for place, worker in enumerate(crew):
                if worker.gone:
                    crew[place] = worker = _Worker(task)
                if waiting and not worker.busy:
                    number = waiting.popleft()
                    worker.give(number, jobs[number], patience(jobs[number]))
            for number, ending in _endings(crew):
                if ending.died not in (None, TOO_LONG) and number not in tried_before:
                    tried_before.add(number)
                    waiting.append(number)
                else:
                    yield number, ending
    finally:
        for worker in crew:
            worker.dismiss()


def _endings(crew: list["_Worker"]) -> Iterator[tuple[int, Ending]]:
    busy = {worker.connection: worker for worker in crew if worker.busy}
    until = min(worker.deadline for worker in busy.values())
    ready = wait(list(busy), timeout=max(0.0, until - time.monotonic()))
    for connection, worker in busy.items():
        ending = None
        if connection in ready:
            ending = worker.listen()
        elif time.monotonic() >= worker.deadline:
            ending = worker.give_up()
        if ending is not None:
            yield ending


@dataclass
class _Worker:
    """The parent's end of one process."""

    task: Task
    said: list[Any] = field(default_factory=list)
    number: int | None = None
    patience: float = 0.0
    deadline: float = 0.0
    ready: bool = False
    gone: bool = False

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # fork copies locks that threads hold
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.task), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def busy(self) -> bool:
        return self.number is not None

    def give(self, number: int, job: Any, patience: float) -> None:
        self.number, self.said, self.patience = number, [], patience
        self.deadline = time.monotonic() + (patience if self.ready else TO_START)
        with suppress(OSError):  # it has died: listening will tell
            self.connection.send(job)

    def listen(self) -> tuple[int, Ending] | None:
        try:
            what, value = self.connection.recv()
        except (EOFError, OSError):
            return self._lost()
        if what == READY:
            self.ready, self.deadline = True, time.monotonic() + self.patience
        elif what == SAID:
            self.said.append(value)
        else:
            return self._ended(None)
        return None

    def give_up(self) -> tuple[int, Ending]:
        self.dismiss()
        return self._ended(TOO_LONG)

    def dismiss(self) -> None:
        """End the process, whatever it does."""
        self.gone = True
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _lost(self) -> tuple[int, Ending]:
        self.process.join()
        code = self.process.exitcode or 0
        died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if not self.ready:
            raise ResourceError(
                f"a worker process ended before it began ({died}): memory is short, or a script that indexes does not "
                "keep its work below `if __name__ == '__main__':`"
            )
        self.dismiss()
        return self._ended(died)

    def _ended(self, died: str | None) -> tuple[int, Ending]:
        assert self.number is not None
        number, self.number = self.number, None
        return number, Ending(tuple(self.said), died)


def _serve(connection: "Connection[Any, Any]", task: Task) -> None:
    """The process: jobs in, what the task yields out, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send((READY, None))
        while True:
            for value in task(connection.recv()):
                connection.send((SAID, value))
            connection.send((DONE, None))
