"""A worker on a node: it runs each task in a process of its own, which may die while the worker tells how it died."""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from videogen.executors.base import Function, TaskResult
from videogen.executors.local import WorkerProcess, results_of
from videogen.executors.node import NodeReport, report


class RemoteWorker:
    """Becomes a Ray actor. The process lives on from task to task and keeps what it has loaded."""

    def __init__(self, function: Function, here: Path, environment: Mapping[str, str]) -> None:
        self.function, self.here = function, here
        self.process: WorkerProcess | None = None
        os.environ.update(environment)
        with suppress(OSError):  # a node without that folder can do with absolute paths
            os.chdir(here)
        vars(sys.modules["__main__"]).pop("__file__", None)  # else each process would import Ray's main module first

    def report(self, paths: Iterable[Path]) -> NodeReport:
        return report(self.here, paths)

    def run(self, task: Any, seconds: float) -> TaskResult:
        """The result of one task that may take so long."""
        if self.process is None or self.process.gone:
            self.process = WorkerProcess(self.function)
        self.process.assign(0, task, seconds)
        while True:
            for _, result in results_of([self.process]):
                return result
