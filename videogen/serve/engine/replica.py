"""A replica: one model process, the streams that run on it, and whose turn it is."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from videogen.errors import ResourceError
from videogen.serve.engine.engine_context import EngineContext
from videogen.serve.engine.launcher import Launcher
from videogen.serve.engine.scheduler import Scheduler
from videogen.serve.engine.stream import Stream
from videogen.serve.engine.supervisor import Supervisor
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import FrameBatch, Message, Ready
from videogen.serve.requests import GenerationParams

LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.05  # between looks at a replica that drains or restarts


class Replica:
    """`on_death(replica, reason)` is called when its process has ended, and when that cannot be started again."""

    def __init__(self, name: str, launcher: Launcher, limits: ServerLimits, on_death: "Callable[[Replica, str], None]"):
        self.name, self.limits = name, limits
        self.streams: dict[str, Stream] = {}  # those that have not ended
        self.draining = False  # it gets no new work: it is about to be restarted
        self.frames, self.seconds = 0, 0.0  # made, and what the model took for them
        self.on_message: Callable[[Message], None] = self._on_message  # benchmarks replace it
        self.supervisor = Supervisor(
            launcher, lambda message: self.on_message(message), lambda reason: on_death(self, reason), name
        )
        self._scheduler = Scheduler(limits.streams, limits.turn_seconds)
        self._context: EngineContext | None = None  # until the model is known

    def open(self, context: EngineContext) -> None:
        """Called once, when the model is known."""
        self._context = replace(context, send=self.supervisor.send)

    def open_stream(self, params: GenerationParams, seed: int, frames: int, live: bool, owner: str) -> Stream:
        assert self._context is not None
        stream = Stream(self._context, params, seed, frames, live, owner)
        self.streams[stream.id] = stream
        return stream

    @property
    def usable(self) -> bool:
        """Whether it can take work now."""
        return self.supervisor.alive and not self.draining

    @property
    def load(self) -> int:
        return sum(stream.wants_work for stream in self.streams.values())

    def waiting(self) -> list[Stream]:
        """Streams that want work and that the process does not know."""
        return [stream for stream in self.streams.values() if stream.wants_work and not stream.started]

    def at_work(self) -> list[Stream]:
        """Streams that would be lost with the process."""
        return [s for s in self.streams.values() if s.started and not s.complete and s.ended is None]

    def take(self, stream: Stream) -> None:
        """Make the stream run here; no other process may know it."""
        assert self._context is not None
        stream.context = self._context
        self.streams[stream.id] = stream

    def reschedule(self, now: float) -> None:
        """Give its slots to its streams; while it drains, to those alone that the process knows."""
        self.streams = {id: stream for id, stream in self.streams.items() if stream.ended is None}
        held = self.waiting() if self.draining else []
        self._scheduler.update([s for s in self.streams.values() if s not in held], self.supervisor.alive, now)
        before = sum(stream.queue_position is not None for stream in self.streams.values() if stream not in held)
        for position, stream in enumerate(held, before + 1):
            stream.schedule(position, now)

    def end_if_silent(self, now: float) -> None:
        """Kill a process that has work and has sent nothing for too long."""
        silent = now - self.supervisor.last_message_at
        if silent > self.limits.patience_seconds and any(stream.due for stream in self.streams.values()):
            self.supervisor.kill("it was busy and sent nothing for too long")

    async def restart(self) -> None:
        """End its process, and return when the next one works; ResourceError if it cannot be started."""
        before = self.supervisor.restarts
        self.supervisor.restart()
        while self.supervisor.restarts == before:
            if self.supervisor.failure is not None:
                raise ResourceError(self.supervisor.failure)
            await asyncio.sleep(POLL_SECONDS)

    def counters(self) -> dict[str, float]:
        """Totals since the start of the server, and current numbers."""
        return {
            "up": float(self.supervisor.alive),
            "restarts": self.supervisor.restarts,
            "streams": sum(stream.has_slot for stream in self.streams.values()),
            "queue": sum(stream.status == "queued" for stream in self.streams.values()),
            "frames": self.frames,
            "seconds": self.seconds,
        }

    def _on_message(self, message: Message) -> None:
        if isinstance(message, FrameBatch):
            self.frames += message.count
            self.seconds += message.prior_seconds + message.decoder_seconds
        stream = self.streams.get(getattr(message, "id", ""))
        if isinstance(message, Ready) and self._context is not None:
            if message.info["fingerprint"] != self._context.info.fingerprint:
                LOG.warning("%s read other weights than the server began with; restart the server", self.name)
            self._context.reschedule()
        elif stream is not None and stream.started:  # else a late message for a stream that begins again
            stream.on_message(message)
