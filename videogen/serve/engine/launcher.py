"""Where model processes come from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from videogen.errors import CheckpointError, DataError, NumbersError, ResourceError, UsageError, VideogenError
from videogen.serve.child_process import ChildProcess, child_environment, describe_exit
from videogen.serve.messages import LoadFailed, Ready

WORKER = "videogen.serve.worker.worker"
ERROR_TYPES = (UsageError, DataError, CheckpointError, ResourceError, NumbersError)


class Launcher(Protocol):
    """Where a model process comes from."""

    async def start(self) -> tuple[ChildProcess, Ready]:
        """Returns when the model is loaded; VideogenError of the right kind if it cannot be."""


@dataclass(frozen=True)
class ModelProcessLauncher:
    """A process of this machine, and its arguments."""

    model: Path
    device: str | None
    dtype: str | None
    threads: int | None

    async def start(self) -> tuple[ChildProcess, Ready]:
        """Returns when the model is loaded; VideogenError of the right kind if it cannot be."""
        options = json.dumps(worker_options(self.model, self.device, self.dtype, self.threads))
        try:
            child = await ChildProcess.start(WORKER, [options], child_environment(self.threads))
        except OSError as error:  # out of memory, processes or descriptors
            raise ResourceError(f"{self.model}: its process cannot be started ({error.strerror or error})") from None
        return child, await receive_ready(child, self.model)


def local_launchers(
    model: Path, device: str | None, dtype: str | None, threads: int | None, count: int
) -> list[ModelProcessLauncher]:
    """One for each replica; with several, the device "cuda" means cuda:0, cuda:1 and so on."""
    spread = device == "cuda" and count > 1
    devices = [f"cuda:{number}" if spread else device for number in range(count)]
    return [ModelProcessLauncher(model, each, dtype, threads) for each in devices]


def worker_options(model: Path, device: str | None, dtype: str | None, threads: int | None) -> dict[str, Any]:
    """What the worker is told when it starts."""
    return {"model": str(model), "device": device, "dtype": dtype, "threads": threads}


async def receive_ready(child: ChildProcess, model: Path) -> Ready:
    """Wait until the process has loaded the model; stops the process and raises its error if it cannot."""
    try:
        message = await child.receive(0)
    except (EOFError, ValueError):
        exit_line = describe_exit(await child.stop())
        raise ResourceError(f"{model}: its process ended while loading the model ({exit_line})") from None
    except BaseException:
        await child.stop()
        raise
    if isinstance(message, LoadFailed):
        await child.stop()
        raise to_exception(message)
    assert isinstance(message, Ready), message
    return message


def to_exception(failure: LoadFailed) -> VideogenError:
    """The error that the process had, as the same class."""
    types: dict[int, type[VideogenError]] = {kind.exit_code: kind for kind in ERROR_TYPES}
    return types.get(failure.exit_code, VideogenError)(failure.message)
