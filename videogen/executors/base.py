"""The promise of an executor: every task ends, whoever dies, and a task's values do not depend on who ran it."""

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from videogen.errors import ResourceError
from videogen.storage import Location

Function = Callable[[Any], Iterator[Any]]  # of a task
TIMED_OUT = "it took too long"
NO_LIMIT = 1e6  # seconds


def no_limit(task: Any) -> float:
    return NO_LIMIT


@dataclass(frozen=True)
class TaskResult:
    """The values that a task yielded, and how its process died if it did before the task was done."""

    values: tuple[Any, ...]
    died: str | None


class Executor(Protocol):
    """Runs tasks in processes that may die: a task that kills its process costs that task alone."""

    @property
    def workers(self) -> int:
        """At most so many tasks run at once."""

    @property
    def threads(self) -> int:
        """Of each worker."""

    @property
    def is_local(self) -> bool:
        """Whether workers are processes of this machine, so that a single one may as well be this process."""

    def check(self, paths: Iterable[Location], shared: Path | None = None) -> None:
        """One error if a node cannot see the paths, or what this process writes into the folder `shared`.

        URLs are not asked for.
        """

    def run_each(
        self, function: Function, tasks: Sequence[Any], timeout: Callable[[Any], float] = no_limit
    ) -> Iterator[tuple[int, TaskResult]]:
        """(number of the task, its result) for every task, as they end. The function and the tasks must be picklable.

        A task whose process dies is tried once more, because another may have taken the memory; one that takes longer
        than `timeout(task)` seconds is ended.
        """


class TaskQueue:
    """The numbers of the tasks that wait; a task whose process died waits once more."""

    def __init__(self, tasks: int) -> None:
        self._waiting = deque(range(tasks))
        self._tried: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> int:
        return self._waiting.popleft()

    def is_final(self, number: int, result: TaskResult) -> bool:
        """Whether this result counts; else the task waits again."""
        if result.died in (None, TIMED_OUT) or number in self._tried:
            return True
        self._tried.add(number)
        self._waiting.append(number)
        return False


def in_order(results: Iterable[tuple[int, TaskResult]]) -> Iterator[TaskResult]:
    """The results by the number of their task, each as soon as those before it are there."""
    early: dict[int, TaskResult] = {}
    following = 0
    for number, result in results:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1


def only_value(result: TaskResult, what: str) -> Any:
    """The one value of a task that yields its errors too: these are raised. ResourceError if its process died twice."""
    if not result.values:
        raise ResourceError(
            f"the process of {what} died twice ({result.died}); if memory is short, use fewer --workers"
        )
    value = pickle.loads(result.values[-1])
    if isinstance(value, Exception):
        raise value
    return value


def with_errors(function: Callable[[Any], Any], task: Any) -> Iterator[Any]:
    """What the function returns; its exception is yielded too, because one that is raised would end the process.

    As bytes, because torch sends tensors through memory that it shares with a process, which may die.
    """
    try:
        value = function(task)
    except Exception as error:
        value = error
    yield pickle.dumps(value)
