"""The executor that a user asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from videogen.errors import UsageError
from videogen.executors.base import Executor
from videogen.executors.local import LocalExecutor
from videogen.system.threads import cores

EngineName: TypeAlias = Literal["local", "ray"]
NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}  # tokens do not depend on it


@contextmanager
def open_executor(
    engine: EngineName = "local",
    address: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    usual: int = 1,
) -> Iterator[Executor]:
    """Until the block ends. `workers` are by default `usual` local ones, or all that the Ray cluster has room for."""
    if engine == "local":
        if address is not None:
            raise UsageError("--address is of a Ray cluster; add --engine ray")
        yield LocalExecutor(workers or usual, threads)
        return
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: with --engine ray say cpu or cuda; Ray chooses a GPU for each worker")
    from videogen.executors.ray_cluster import cluster
    from videogen.executors.ray_executor import RayExecutor

    with cluster(address, max(cores(), (workers or 1) * (threads or 1))) as ray:
        yield RayExecutor(ray, workers, threads or 1, int(device == "cuda"), NO_TF32)
