"""All replicas of a server: started together, watched, and restarted one after the other."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from videogen.errors import ResourceError
from videogen.serve.engine.engine_context import EngineContext, loop_time
from videogen.serve.engine.launcher import Launcher
from videogen.serve.engine.placement import choose, moves
from videogen.serve.engine.replica import POLL_SECONDS, Replica
from videogen.serve.engine.stream import Stream
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import Ready

MAX_DEATHS = 2  # model processes that may end while they make a job; after one more it fails, as it may be the cause
LOG = logging.getLogger(__name__)


class Replicas:
    """At least one; they have the same model."""

    def __init__(self, launchers: Sequence[Launcher], limits: ServerLimits):
        alone = len(launchers) == 1
        self._all = [
            Replica("the model process" if alone else f"model process {number}", launcher, limits, self._on_death)
            for number, launcher in enumerate(launchers)
        ]
        self.limits = limits
        self._patience = MAX_DEATHS if len(launchers) > 1 else 0
        self._context: EngineContext | None = None  # until the model is known
        self._rolling: asyncio.Task[None] | None = None  # a restart of all of them

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Replica:
        return self._all[number]

    async def start(self) -> Ready:
        """Start all processes at once; the error of the first that cannot be started."""
        started = await asyncio.gather(*(one.supervisor.start() for one in self._all), return_exceptions=True)
        for ready in started:
            if isinstance(ready, BaseException):
                raise ready
        ready = started[0]
        assert isinstance(ready, Ready)
        return ready

    def open(self, context: EngineContext) -> None:
        """Called once, when the model is known."""
        self._context = context
        for replica in self._all:
            replica.open(context)

    async def close(self) -> None:
        """Leave no process and no task."""
        if self._rolling is not None:
            self._rolling.cancel()
            await asyncio.gather(self._rolling, return_exceptions=True)
        await asyncio.gather(*(replica.supervisor.close() for replica in self._all))

    def alive(self) -> bool:
        """Whether one of them can work."""
        return any(replica.supervisor.alive for replica in self._all)

    def supervised(self) -> bool:
        """Whether a process that dies is started again, of one of them at least."""
        return any(replica.supervisor.supervising for replica in self._all)

    @property
    def failure(self) -> str | None:
        """Why none of them can be started; None if one works, or may."""
        failures = [replica.supervisor.failure for replica in self._all]
        return failures[0] if all(failures) else None

    def choose(self) -> Replica:
        """The one for a new stream."""
        return choose(self._all)

    def reschedule(self, now: float) -> None:
        """Move streams that wait to where they start sooner, and give all slots."""
        for stream, left, better in moves(self._all):
            del left.streams[stream.id]
            better.take(stream)
        for replica in self._all:
            replica.reschedule(now)

    def restart(self) -> None:
        """Begin to restart all of them, one after the other; does nothing while that goes on."""
        if self._rolling is None or self._rolling.done():
            self._rolling = asyncio.create_task(self._restart_all(), name="videogen rolling restart")

    # internals

    def _on_death(self, replica: Replica, reason: str) -> None:
        """Streams that the process had started fail, and jobs begin again; the others wait for the next process."""
        lost = replica.at_work()
        for stream in lost:
            stream.deaths += 1
        failed = self._end_work(
            replica, f"the model process ended ({reason}); it is being started again, please try again"
        )
        if failed:
            live = sum(stream.live for stream in failed)
            LOG.error("%d streams and %d videos failed with it", live, len(failed) - live)
        if self.failure is not None:
            for stream in [stream for one in self._all for stream in one.streams.values()]:
                stream.end("failed", f"the model process cannot be started again: {self.failure}")

    def _end_work(self, replica: Replica, told: str) -> list[Stream]:
        """Jobs of a replica begin again on the best one; returns its streams and the jobs that failed."""
        lost, failed = replica.at_work(), list[Stream]()
        for stream in lost:
            if stream.on_lost is None or stream.deaths > self._patience:
                stream.end("failed", told)
                failed.append(stream)
            else:
                del replica.streams[stream.id]
                self.choose().take(stream.on_lost())
        if len(lost) > len(failed):
            LOG.warning("%d videos of %s begin again", len(lost) - len(failed), replica.name)
        if self._context is not None:
            self._context.reschedule()
        return failed

    async def _restart_all(self) -> None:
        assert self._context is not None
        LOG.info("all model processes are restarted, one after the other")
        for replica in self._all:
            if replica.supervisor.failure is not None:
                continue  # it is being started again and again already
            replica.draining = True
            try:
                await self._drain(replica)
                await replica.restart()
            except ResourceError as error:
                LOG.error("%s cannot be started again, so the others are left as they are: %s", replica.name, error)
                return
            finally:
                replica.draining = False
                self._context.reschedule()
        LOG.info("all model processes were restarted")

    async def _drain(self, replica: Replica) -> None:
        """Wait until the replica has no work; what has not ended after the grace time is ended."""
        assert self._context is not None
        self._context.reschedule()  # streams that wait leave it
        until = loop_time() + self.limits.grace_seconds
        while replica.at_work() and loop_time() < until:
            await asyncio.sleep(POLL_SECONDS)
        self._end_work(replica, "the model process is being restarted, please try again")
