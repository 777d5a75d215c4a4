"""What all streams of a replica share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

from videogen.serve.errors import BusyError
from videogen.serve.limits import ServerLimits
from videogen.serve.media.mp4 import Mp4Format
from videogen.serve.messages import Message
from videogen.serve.model_info import ModelInfo

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


@dataclass(eq=False)
class EngineContext:
    """The model, the limits, and the threads that encode frames."""

    info: ModelInfo
    limits: ServerLimits
    format: Mp4Format
    send: Callable[[Message], None]  # to the model process
    reschedule: Callable[[], None]  # call it when a stream starts or stops wanting work
    threads: ThreadPoolExecutor
    totals: dict[str, float]  # counters of the server, and the number of viewers
    tasks: set[asyncio.Task[None]] = field(default_factory=set)  # of all streams of the server, dropped ones included

    async def run_in_thread(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    def admit_viewer(self) -> None:
        """BusyError if there are too many."""
        if self.totals["viewers"] >= self.limits.viewers:
            raise BusyError(f"{self.limits.viewers} viewers are watching, the limit; try again later")
        self.totals["viewers"] += 1


def loop_time() -> float:
    return asyncio.get_running_loop().time()
