"""Workers on the nodes of a Ray cluster, which may be lost."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from videogen.errors import ResourceError, UsageError
from videogen.executors.base import Function, TaskQueue, TaskResult, no_limit
from videogen.executors.local import START_TIMEOUT
from videogen.executors.node import marked, refuse_other_node, report
from videogen.executors.remote_worker import RemoteWorker
from videogen.storage import Location

MAX_FAILED_STARTS = 5  # in a row
Actor = Any
Reference = Any  # to a result that is being made


class RayExecutor:
    """One actor a worker; it gets the next task when it has ended one. `ray` is the module, connected to a cluster."""

    is_local = False

    def __init__(
        self,
        ray: Any,
        workers: int | None = None,
        threads: int = 1,
        gpus: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ray, self.threads, self.gpus = ray, threads, gpus
        self.environment = {"OMP_NUM_THREADS": str(threads), **(environment or {})}
        self.workers = workers or self._room()
        self._paths: tuple[Path, ...] = ()
        self._own = report(Path.cwd(), ())

    def check(self, paths: Iterable[Location], shared: Path | None = None) -> None:
        """Ask every node that can get work, and each worker once more when it starts: nodes may join later."""
        local = [path for path in paths if isinstance(path, Path)]
        self._paths = tuple(dict.fromkeys([*local, *([shared] if shared else [])]))
        with marked(shared) as mark:
            asked = {node["NodeName"]: self._ask(node, [*self._paths, *mark]) for node in self._nodes_with_room()}
            for name, answer in asked.items():
                refuse_other_node(self._own, self._answer_of(name, answer))

    def run_each(
        self, function: Function, tasks: Sequence[Any], timeout: Callable[[Any], float] = no_limit
    ) -> Iterator[tuple[int, TaskResult]]:
        """As `Executor` promises; a worker that is lost is one that died."""
        queue, crew = TaskQueue(len(tasks)), Crew(self, function)
        try:
            while queue or crew.busy:
                crew.hire(min(self.workers, len(queue) + len(crew.busy)))
                while queue and crew.idle:
                    number = queue.take()
                    crew.assign(number, tasks[number], timeout(tasks[number]))
                for number, result in crew.results():
                    if queue.is_final(number, result):
                        yield number, result
        finally:
            crew.dismiss()

    def start(self, function: Function) -> Actor:
        options = {"num_cpus": self.threads, "num_gpus": self.gpus, "scheduling_strategy": "SPREAD"}
        remote = self.ray.remote(RemoteWorker).options(**options)
        return remote.remote(function, Path.cwd(), self.environment)

    def greet(self, actor: Actor) -> Reference:
        return actor.report.remote(self._paths)

    def accept(self, answer: Reference) -> None:
        refuse_other_node(self._own, self.ray.get(answer))

    def _room(self) -> int:
        """How many workers the whole cluster has room for."""
        have = self.ray.cluster_resources()
        room = int(have.get("CPU", 0) // self.threads)
        room = min(room, int(have.get("GPU", 0) // self.gpus)) if self.gpus else room
        if room < 1:
            gpus = f" and {self.gpus} GPU" if self.gpus else ""
            raise ResourceError(f"the Ray cluster has no room for a worker with {self.threads} CPUs{gpus}")
        return room

    def _nodes_with_room(self) -> list[dict[str, Any]]:
        wanted = {"CPU": self.threads, "GPU": self.gpus}
        alive = [node for node in self.ray.nodes() if node["Alive"]]
        return [node for node in alive if all(node["Resources"].get(kind, 0) >= n for kind, n in wanted.items())]

    def _ask(self, node: dict[str, Any], paths: list[Path]) -> Reference:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return self.ray.remote(report).options(num_cpus=0, scheduling_strategy=there).remote(Path.cwd(), paths)

    def _answer_of(self, name: str, answer: Reference) -> Any:
        try:
            return self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            reason = str(error).strip().rpartition("\n")[2][:200]
            raise UsageError(f"node {name} cannot run videogen ({reason}); install the same checkout there") from None


class Crew:
    """The actors of one run: those that start, those without a task, and those with one."""

    def __init__(self, executor: RayExecutor, function: Function) -> None:
        self.executor, self.function, self.ray = executor, function, executor.ray
        self.starting: dict[Reference, Actor] = {}
        self.idle: list[Actor] = []
        self.busy: dict[Reference, tuple[Actor, int]] = {}
        self.failed = 0  # starts in a row

    def hire(self, wanted: int) -> None:
        """Start actors until there are as many as wanted; one for which the cluster has no room yet is no obstacle."""
        for _ in range(wanted - len(self.starting) - len(self.idle) - len(self.busy)):
            actor = self.executor.start(self.function)
            self.starting[self.executor.greet(actor)] = actor

    def assign(self, number: int, task: Any, seconds: float) -> None:
        actor = self.idle.pop()
        self.busy[actor.run.remote(task, seconds)] = (actor, number)

    def results(self) -> Iterator[tuple[int, TaskResult]]:
        """What has ended, after waiting for the next event."""
        limit = None if self.busy else START_TIMEOUT
        ready, _ = self.ray.wait([*self.starting, *self.busy], num_returns=1, timeout=limit)
        if not ready:
            raise ResourceError(f"no worker of the Ray cluster started in {START_TIMEOUT:.0f} s; is it full?")
        for reference in ready:
            if reference in self.starting:
                self._started(reference)
            else:
                yield self._ended(reference)

    def dismiss(self) -> None:
        for actor in (*self.starting.values(), *self.idle, *(actor for actor, _ in self.busy.values())):
            self.ray.kill(actor)

    def _started(self, reference: Reference) -> None:
        actor = self.starting.pop(reference)
        try:
            self.executor.accept(reference)
        except self.ray.exceptions.RayActorError as error:
            self.failed += 1
            if self.failed >= MAX_FAILED_STARTS:
                reason = str(error).strip().partition("\n")[0]
                raise ResourceError(f"workers of the Ray cluster die when they start ({reason})") from None
        else:
            self.failed = 0
            self.idle.append(actor)

    def _ended(self, reference: Reference) -> tuple[int, TaskResult]:
        actor, number = self.busy.pop(reference)
        try:
            result = self.ray.get(reference)
        except self.ray.exceptions.RayActorError:
            self.ray.kill(actor)  # one that only cannot be reached
            return number, TaskResult((), "its worker was lost")
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        self.idle.append(actor)
        return number, result
