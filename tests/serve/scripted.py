"""An engine whose model process is a script: it records messages, and sends what a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from tests.serve.test_validation import MASKED
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.job_store import JobStore
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import ChangeStream, FrameBatch, Message, Ready, StartStream, StreamEnded
from videogen.serve.requests import GenerationParams


class ScriptedProcess:
    """Replaces ModelProcessLauncher and ChildProcess."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)  # of starts after the first
        self.starts = 0
        self.heard: list[Message] = []
        self._says: asyncio.Queue[Message | None] = asyncio.Queue()
        self.process = SimpleNamespace(kill=self.die, pid=4711)

    async def start(self) -> tuple[Any, Ready]:
        self.starts += 1
        if self.starts > 1 and self.refusals:
            raise self.refusals.pop(0)
        info = {name: value for name, value in asdict(MASKED).items() if name != "mime"}
        return self, Ready(info)

    def send(self, message: Message) -> None:
        self.heard.append(message)

    async def receive(self, max_payload: int) -> Message:
        message = await self._says.get()
        if message is None:
            raise EOFError
        return message

    async def stop(self, grace_seconds: float = 0.0) -> int:
        return 1

    def die(self) -> None:
        self._says.put_nowait(None)

    def makes(
        self,
        name: str,
        first: int = 0,
        count: int = 1,
        new_prompt: bool = False,
        truncated: bool = False,
        seconds: float = 0.0,
        note: str = "",
    ) -> None:
        payload = bytes(count * MASKED.height * MASKED.width * 3)
        made = FrameBatch(name, first, count, "x", new_prompt, truncated, 1, 8, 0.0, 0.0, seconds, payload, note)
        self._says.put_nowait(made)

    def ends(self, name: str, error: str | None = None) -> None:
        self._says.put_nowait(StreamEnded(name, error))

    def started(self) -> list[str]:
        return [message.id for message in self.heard if isinstance(message, StartStream)]

    def pauses(self, name: str) -> list[bool]:
        changes = [message for message in self.heard if isinstance(message, ChangeStream) and message.id == name]
        return [change.paused for change in changes if change.paused is not None]


@asynccontextmanager
async def scripted(*scripts: ScriptedProcess, store: JobStore | None = None, **limits: Any) -> AsyncIterator[Engine]:
    """One replica for each script."""
    engine = Engine(ServerLimits(**limits), *scripts, store=store)
    try:
        await engine._open()
        yield engine
    finally:
        await engine.close()


async def job_done(engine: Engine, script: ScriptedProcess, params: GenerationParams, note: str = "") -> VideoJob:
    """A job of one frame, from the request to the file."""
    job = await engine.submit(params)
    script.makes(job.id, note=note)
    script.ends(job.id)
    async with asyncio.timeout(60):
        await asyncio.wait([job.stream.task])
    return job
