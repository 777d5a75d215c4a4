"""The assignment of tasks to workers of a cluster, against a Ray of this process whose workers are lost on command."""

import builtins
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from videogen.errors import DataError, ResourceError, UsageError
from videogen.executors.base import TaskResult, in_order, only_value, with_errors
from videogen.executors.chosen import open_executor
from videogen.executors.node import NodeReport, refuse_other_node, report
from videogen.executors.ray_executor import MAX_FAILED_STARTS, RayExecutor

LOST = TaskResult((), "its worker was lost")


class LostActorError(Exception):
    pass


class FakeTaskError(Exception):
    pass


@dataclass
class FakeRay:
    """Answers are made when they are waited for; `losses` says of each answer, in turn, whether its actor is lost."""

    losses: Iterator[bool]
    cpus: int = 4
    alive: int = 0
    most_alive: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)  # no two answers are the same
    exceptions = SimpleNamespace(RayActorError=LostActorError, RayTaskError=FakeTaskError, RayError=Exception)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cpus)}

    def remote(self, kind: Any) -> Any:
        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=self.start))

    def start(self, *arguments: Any) -> Any:
        self.alive += 1
        self.most_alive = max(self.alive, self.most_alive)
        return SimpleNamespace(
            report=SimpleNamespace(remote=lambda paths: (next(self.numbers), report(Path.cwd(), paths))),
            run=SimpleNamespace(remote=lambda task, seconds: (next(self.numbers), TaskResult((task, seconds), None))),
        )

    def wait(self, answers: Sequence[Any], num_returns: int, timeout: float | None) -> tuple[list[Any], list[Any]]:
        return [answers[-1]], [*answers[:-1]]

    def get(self, answer: Any) -> Any:
        if next(self.losses, False):
            self.alive -= 1
            raise LostActorError("gone\nand more")
        return answer[1]

    def kill(self, actor: Any) -> None:
        self.alive -= 1


def run(ray: FakeRay, tasks: int, workers: int | None = None) -> dict[int, TaskResult]:
    executor = RayExecutor(ray, workers)
    return dict(executor.run_each(iter, list(range(tasks)), lambda task: 10.0 + task))  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_every_task_ends_with_its_own_result(workers: int) -> None:
    ray = FakeRay(iter(()))
    assert run(ray, 7, workers) == {number: TaskResult((number, 10.0 + number), None) for number in range(7)}
    assert ray.most_alive == min(workers, 7)


def test_workers_are_as_many_as_the_cluster_has_room_for() -> None:
    assert RayExecutor(FakeRay(iter(())), threads=2).workers == 2
    with pytest.raises(ResourceError, match="no room for a worker with 8 CPUs"):
        RayExecutor(FakeRay(iter(())), threads=8)


def test_a_lost_worker_costs_nothing_the_first_time_and_its_task_the_second_time() -> None:
    right = {number: TaskResult((number, 10.0 + number), None) for number in range(3)}
    assert run(FakeRay(iter([False, True])), 3, 1) == right
    one_start, lost = [False], [True]
    assert run(FakeRay(iter([*one_start, *lost, *one_start, *lost])), 1, 1) == {0: LOST}


def test_workers_that_never_start_are_an_error_in_one_line() -> None:
    with pytest.raises(ResourceError, match=r"die when they start \(gone\)$"):
        run(FakeRay(itertools.repeat(True)), 3, 2)
    few = [True] * (MAX_FAILED_STARTS - 1)
    assert len(run(FakeRay(iter([*few, False, *few])), 3, 1)) == 3


def test_nodes_must_have_the_same_code_and_see_the_same_files(tmp_path: Path) -> None:
    own = report(tmp_path, [tmp_path, Path("absent")])
    assert own.missing == (str(tmp_path / "absent"),)
    with pytest.raises(DataError, match=f"{tmp_path / 'absent'}: node {own.name} does not see it"):
        refuse_other_node(own, own)
    with pytest.raises(UsageError, match=r"node far has torch 1\.0, this machine"):
        refuse_other_node(own, NodeReport("far", own.code, "1.0", ()))
    with pytest.raises(UsageError, match="node far has videogen's code 0, this machine"):
        refuse_other_node(own, NodeReport("far", "0", own.torch, ()))


def failing(task: int) -> None:
    raise DataError(f"{task} of a clip")


def test_results_come_in_order_and_errors_of_tasks_are_raised() -> None:
    results = [TaskResult((number,), None) for number in range(4)]
    assert list(in_order((number, results[number]) for number in (2, 0, 3, 1))) == results
    with pytest.raises(DataError, match="of a clip"):
        only_value(TaskResult(tuple(with_errors(failing, 3)), None), "a clip")
    assert only_value(TaskResult(tuple(with_errors(str, 3)), None), "a clip") == "3"
    with pytest.raises(ResourceError, match="the process of clip 3 died twice \\(signal SIGKILL\\)"):
        only_value(TaskResult((), "signal SIGKILL"), "clip 3")


def test_wrong_options_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="add --engine ray"), open_executor(address="auto"):
        pass
    with pytest.raises(UsageError, match="say cpu or cuda"), open_executor("ray", device="cuda:1"):
        pass
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, shutdown=lambda: None))
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(UsageError, match=f"^--address {address}: no Ray cluster answers there"):
            open_executor("ray", address).__enter__()
    importing = builtins.__import__

    def without_ray(name: str, *rest: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[cluster\]'"), open_executor("ray"):
        pass
