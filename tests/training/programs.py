"""The fake stage in processes of its own: started, watched, killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import videogen
from tests.training.fake import lines
from videogen.checkpoint import read_folder
from videogen.training.records.run_folder import steps_in

CHECKOUT = Path(videogen.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


class Nursery:
    """A process that has imported everything and forks a trainer for each line it reads, so trainers start quickly."""

    def __init__(self, process: "subprocess.Popen[str]"):
        assert process.stdin is not None
        assert process.stdout is not None
        self._told, self._heard = process.stdin, process.stdout

    def start(self, *arguments: str, processes: int = 1) -> int:
        """The number of the new process, or of the first of several that train together."""
        self._told.write("\t".join([str(processes), *arguments]) + "\n")
        self._told.flush()
        return int(self._heard.readline())

    def outcome(self) -> int:
        """Waits for what was started last: its exit code, negative for a signal that killed it."""
        return int(self._heard.readline())

    def run(self, *arguments: str, processes: int = 1) -> int:
        self.start(*arguments, processes=processes)
        return self.outcome()


@contextmanager
def nursery(spare: Path) -> Iterator[Nursery]:
    """`spare` is a folder for a run that warms the process up."""
    command = [sys.executable, "-m", "tests.training.fake", "nursery", str(spare)]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


def run_in_processes(count: int, folder: Path, *settings: str) -> None:
    """Train in `count` processes that torchrun starts."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    command = [*launcher, "-m", "tests.training.fake", "once", str(folder), *settings]
    finished = subprocess.run(command, cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def kill_after_lines(process: int, folder: Path, count: int) -> None:
    """SIGKILL as soon as the run's metrics have so many lines."""
    wait_for_lines(process, folder, count)
    os.kill(process, signal.SIGKILL)


def wait_for_lines(process: int, folder: Path, count: int) -> None:
    while whole_lines(folder) < count:
        os.kill(process, 0)  # raises once it has ended
        time.sleep(0.001)


def whole_lines(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def last_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the last checkpoint, of the exported model and of the best."""
    newest = steps_in(folder / "checkpoints")[-1]
    found = {}
    for place in (folder / "checkpoints" / f"step_{newest:08}", folder / "model", folder / "best"):
        part = read_folder(place)
        for name in part.hashes:
            if name.endswith(".safetensors"):
                found.update({f"{place.name}/{name}/{key}": value for key, value in part.tensors(name).items()})
    return found


def same_bits(a: Path, b: Path) -> bool:
    """Whether two runs wrote the same metrics and ended with the same weights, averages and optimizers."""
    here, there = last_tensors(a), last_tensors(b)
    equal = here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)
    return equal and lines(a) == lines(b)
