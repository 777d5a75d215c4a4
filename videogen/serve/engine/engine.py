"""The engine: all that a server knows of its model. Begin reading here.

a params -- checked -- a stream or a job -- its turn comes --> the model process, a latent frame of each in turn
pictures of it --> film and previews, once for all viewers --> each viewer's own short queue

The model lives in a process of its own; when it dies, what was begun in it has failed, and the next params is served.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from videogen.arguments import DRAWN_SEEDS
from videogen.serve.engine.engine_context import EngineContext, now
from videogen.serve.engine.retention import jobs_too_many, one_to_make_room, streams_too_many
from videogen.serve.engine.scheduler import Scheduler
from videogen.serve.engine.stream import Stream
from videogen.serve.engine.supervisor import ModelProcessLauncher, Supervisor
from videogen.serve.engine.validation import check
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.errors import RETRY_AFTER, BusyError, NotFoundError
from videogen.serve.limits import ServerLimits
from videogen.serve.media.film import form_of
from videogen.serve.media.scratch_folder import ScratchFolder
from videogen.serve.messages import Message, Ready
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, InitialFrames
from videogen.serve.uploads.receiver import UploadReceiver

SUMS = (
    *("streams_opened", "streams_stopped", "streams_failed", "streams_given_up", "jobs_opened", "jobs_completed"),
    *("jobs_stopped", "jobs_failed"),
    *("pictures", "latent_frames", "proposals", "prior_seconds", "decoder_seconds", "encoder_seconds"),
    *("viewers", "viewers_dropped", "previews_dropped", "uploads_taken", "uploads_refused", "refused_busy"),
)
LOG = logging.getLogger(__name__)
THREADS = 2  # that encode pictures
ROUND = 0.25  # seconds between looks at who is still there


class Engine:
    """Made by `start`, ended by `close`; everything in between happens in one event loop."""

    def __init__(self, limits: ServerLimits, how: ModelProcessLauncher):
        self.limits = limits
        self._supervisor = Supervisor(how, lambda message: self.on_message(message), self._bereave)
        self.on_message: Callable[[Message], None] = self._hear  # from the model process; may be listened to
        self._streams: dict[str, Stream] = {}
        self._jobs: dict[str, VideoJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of streams, those that have been forgotten too
        self._line = Scheduler(limits.streams, limits.turn_seconds)
        self._tally = dict.fromkeys(SUMS, 0.0)
        self._threads = ThreadPoolExecutor(THREADS, "videogen film")
        self._folder = ScratchFolder()
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        model: Path,
        limits: ServerLimits | None = None,
        device: str | None = None,
        threads: int | None = None,
        dtype: str | None = None,
    ) -> "Engine":
        """Returns when the model can be asked; CheckpointError and others of its kind if it never will be."""
        engine = cls(limits or ServerLimits(), ModelProcessLauncher(model, device, dtype, threads))
        try:
            await engine._open()
        except BaseException:
            await engine.close()
            raise
        return engine

    async def _open(self) -> None:
        ready = await self._supervisor.start()
        known = ModelInfo.of(ready.info)
        loop = asyncio.get_running_loop()
        form = await loop.run_in_executor(self._threads, form_of, known.fps, known.height, known.width)
        self.info = replace(known, mime=form.mime)
        send, arrange = self._supervisor.send, self._arrange
        self._shared = EngineContext(self.info, self.limits, form, send, arrange, self._threads, self._tally)
        self._uploads = UploadReceiver(self.info, self.limits, self._tally)
        self._keeper = asyncio.create_task(self._keep_house(), name="videogen housekeeping")

    async def close(self) -> None:
        """No process, no task, no thread and no file is left; whoever watches sees the end."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            await self._uploads.close()
        for stream in self._all():
            stream.end("stopped", "the server is going down")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._supervisor.close()
        self._threads.shutdown()
        self._folder.remove()

    def healthy(self) -> bool:
        """Whether there is a model process that can work."""
        return self._supervisor.alive and self.supervised()

    def supervised(self) -> bool:
        """Whether a model process that dies will be started again."""
        return self._supervisor.supervising and self._keeper is not None and not self._keeper.done()

    def kill_model(self, why: str = "it was ended") -> None:
        """End the model process, as if it had died: it is started again, and what it had begun has failed."""
        self._supervisor.kill(why)

    # streams

    async def open_stream(self, params: GenerationParams, owner: str = "") -> Stream:
        """WishError, or BusyError; endless unless it was said how long. `owner` is whoever it is counted for."""
        longest = max(1, int(self.limits.stream_seconds * self.info.fps))
        stream = self._admitted(params, longest, longest, owner, live=True)
        self._streams[stream.id] = stream
        self._arrange()
        for spare in streams_too_many(self._streams.values(), self.limits):
            del self._streams[spare.id]
        return stream

    def stream(self, name: str) -> Stream:
        """Gone if there is none of that id, or none any more."""
        if name not in self._streams:
            raise NotFoundError("no such stream, or none any more")
        return self._streams[name]

    def streams(self) -> list[Stream]:
        """The newest first."""
        return list(reversed(self._streams.values()))

    # jobs

    async def submit(self, params: GenerationParams, owner: str = "") -> VideoJob:
        """WishError, or BusyError; as long as the clips of training unless it was said how long."""
        stream = self._admitted(params, self.info.default_frames, self.limits.frames, owner, live=False)
        job = self._jobs[stream.id] = VideoJob(stream, self._folder, self._delete_oldest)
        self._arrange()
        for spare in jobs_too_many(self._jobs.values(), self.limits):
            spare.forget()
            del self._jobs[spare.id]
        return job

    def _delete_oldest(self) -> bool:
        """The disk is full: of the videos that are kept, the one that was finished first; whether there was one."""
        kept = [job for job in self._jobs.values() if job.completed_at is not None]
        if not kept:
            return False
        oldest = min(kept, key=lambda job: job.stream.ended_at)
        LOG.warning("the disk is full: the oldest of %d videos is deleted to make room for a new one", len(kept))
        oldest.forget()
        del self._jobs[oldest.id]
        return True

    def job(self, name: str) -> VideoJob:
        """Gone if there is none of that id, or none any more."""
        if name not in self._jobs:
            raise NotFoundError("no such video, or none any more")
        return self._jobs[name]

    def jobs(self) -> list[VideoJob]:
        """The newest first."""
        return list(reversed(self._jobs.values()))

    async def delete(self, name: str) -> None:
        """A job or a stream ends and is forgotten; NotFoundError if there is none of that id."""
        if name in self._streams:
            self._streams.pop(name).end("stopped")
        else:
            self.job(name).forget()
            del self._jobs[name]

    # what videos go on from

    async def take_upload(self, chunks: AsyncIterator[bytes], kind: Literal["video", "image"]) -> InitialFrames:
        """What has been sent as the model sees it; UploadError if it cannot be used, BusyError if there is no room."""
        self._check_room()  # before it is sent, not after
        return await self._uploads.take(chunks, kind)

    async def continue_job(self, name: str) -> InitialFrames:
        """The last pictures of a job's video, to go on from; NotFoundError if it has none."""
        self._check_room()
        return await self._uploads.read(self.job(name).content(), "video")

    # figures

    @property
    def at_work(self) -> int:
        """Streams and jobs, those that have been forgotten too, of which something is still being done."""
        return len(self._tasks)

    @property
    def counters(self) -> dict[str, float]:
        """Sums since the start, and how much there is now of what comes and goes."""
        everything = self._all()
        waiting = sum(stream.status == "queued" for stream in everything)
        present = {
            "streams_open": sum(stream.ended is None for stream in self._streams.values()),
            "jobs_open": sum(job.stream.ended is None for job in self._jobs.values()),
            "queue_length": waiting,
            "playing": sum(stream.status == "playing" for stream in everything),
            "model_restarts": self._supervisor.restarts,
        }
        return {**self._tally, **present}

    # the inner life

    def _all(self) -> list[Stream]:
        return [*self._streams.values(), *(job.stream for job in self._jobs.values())]

    def _admitted(self, params: GenerationParams, usual: int, longest: int, owner: str, live: bool) -> Stream:
        check(params, self.info, self.limits, longest)
        self._make_room(owner)
        seed = secrets.randbelow(DRAWN_SEEDS) if params.seed is None else params.seed
        stream = Stream(self._shared, params, seed, params.frames or min(usual, longest), live, owner)
        self._tasks.add(stream.task)
        stream.task.add_done_callback(self._tasks.discard)
        self._tally["streams_opened" if live else "jobs_opened"] += 1
        return stream

    def _make_room(self, owner: str) -> None:
        """For one more; BusyError if there is none, and no stream that nobody watches."""
        spare = self._spare(owner)
        if spare is not None:
            spare.end("stopped", "nobody watched it, and its place was needed")
            self._tally["streams_given_up"] += 1
        self._check_room(owner)

    def _spare(self, owner: str) -> Stream | None:
        """What would make room where there is none."""
        there = [stream for stream in self._all() if stream.ended is None]
        full = len(there) >= self.limits.streams + self.limits.queued
        return one_to_make_room(there, owner, self.limits, now()) if full else None

    def _check_room(self, owner: str = "") -> None:
        """BusyError if nobody else can be taken in."""
        room = self.limits.streams + self.limits.queued
        if sum(stream.ended is None for stream in self._all()) >= room and self._spare(owner) is None:
            self._tally["refused_busy"] += 1
            raise BusyError(f"{room} streams and videos are being made or waiting; try again later", RETRY_AFTER)
        if self._supervisor.failure is not None:
            raise BusyError(f"the model process cannot be started: {self._supervisor.failure}", RETRY_AFTER)

    def _arrange(self) -> None:
        self._line.arrange(self._all(), self._supervisor.alive, now())

    def _hear(self, message: Message) -> None:
        if isinstance(message, Ready):
            self._arrange()
        elif (stream := self._made_by(message)) is not None:
            stream.hear(message)

    def _made_by(self, message: Message) -> Stream | None:
        name = getattr(message, "id", "")
        job = self._jobs.get(name)
        return job.stream if job is not None else self._streams.get(name)

    def _bereave(self, how: str) -> None:
        """What the model process had begun is lost with it; who still waits goes on waiting for the next one."""
        lost = [stream for stream in self._all() if stream.begun and not stream.whole and stream.ended is None]
        for stream in lost:
            stream.end("failed", f"the model process ended ({how}); it is being started again, please try again")
        if lost:
            live = sum(stream.live for stream in lost)
            LOG.error("%d streams and %d videos that were being made have failed with it", live, len(lost) - live)
        if self._supervisor.failure is not None:
            for stream in self._all():
                stream.end("failed", f"the model process cannot be started again: {self._supervisor.failure}")

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(ROUND)
            for stream in self._all():
                stream.look_after(now())
            self._arrange()  # somebody's turn may be over
            silent = now() - self._supervisor.heard
            if silent > self.limits.patience_seconds and any(stream.due for stream in self._all()):
                self.kill_model("it was at work and said nothing for too long")
