"""What all streams of a server have in common."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from videogen.serve.errors import RETRY_AFTER, BusyError
from videogen.serve.limits import ServerLimits
from videogen.serve.media.film import Mp4Format
from videogen.serve.messages import Message
from videogen.serve.model_info import ModelInfo

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


@dataclass(eq=False)
class EngineContext:
    """The model, what may be asked of it, and the threads that encode its pictures."""

    info: ModelInfo
    limits: ServerLimits
    form: Mp4Format
    send: Callable[[Message], None]  # to the model process
    arrange: Callable[[], None]  # who works and who waits, after something has changed
    threads: ThreadPoolExecutor
    tally: dict[str, float]  # sums, and how many viewers there are

    async def aside(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Do it in one of the threads; others go on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    def admit_viewer(self) -> None:
        """BusyError if there are too many."""
        if self.tally["viewers"] >= self.limits.viewers:
            raise BusyError(
                f"{self.limits.viewers} viewers are watching, which is as many as there may be", RETRY_AFTER
            )
        self.tally["viewers"] += 1


def now() -> float:
    return asyncio.get_running_loop().time()
