"""The engine: all that the server knows of its model. Start reading here.

request -> validation -> Stream or VideoJob -> Replica -> its model process, one latent frame of each stream in turn
its frames -> Broadcast: encoded once -> Fanout: a short queue for each viewer

The model runs in a process of its own, or in several: the replicas. When one dies, it is started again; the streams
that it had started fail, and its jobs begin again on another replica.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sampling.config import RANDOM_SEEDS
from videogen.serve.engine.engine_context import EngineContext, loop_time
from videogen.serve.engine.job_store import JobStore
from videogen.serve.engine.launcher import Launcher, ModelProcessLauncher
from videogen.serve.engine.replicas import Replicas
from videogen.serve.engine.restore import restore_job, restore_stream
from videogen.serve.engine.retention import jobs_to_evict, stream_to_stop, streams_to_evict
from videogen.serve.engine.stream import Stream
from videogen.serve.engine.validation import check_control, validate_request
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.errors import BusyError, NotFoundError
from videogen.serve.limits import ServerLimits
from videogen.serve.media.mp4 import probe_format
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, InitialFrames
from videogen.serve.uploads.receiver import UploadKind, UploadReceiver

COUNTERS = (
    *("streams_opened", "streams_stopped", "streams_failed", "streams_given_up", "jobs_opened", "jobs_completed"),
    *("jobs_stopped", "jobs_failed", "jobs_restarted"),
    *("frames", "latent_frames", "proposals", "prior_seconds", "decoder_seconds", "encoder_seconds"),
    *("viewers", "viewers_dropped", "previews_dropped", "uploads_taken", "uploads_refused", "refused_busy"),
)
ENCODER_THREADS = 2
HOUSEKEEPING_SECONDS = 0.25
LOG = logging.getLogger(__name__)


class Engine:
    """Made by `start`, ended by `close`; in between it runs in one event loop."""

    def __init__(self, limits: ServerLimits, *launchers: Launcher, store: JobStore | None = None):
        self.limits = limits
        self.replicas = Replicas(launchers, limits)
        self._streams: dict[str, Stream] = {}
        self._jobs: dict[str, VideoJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of all streams, dropped ones included
        self._totals = dict.fromkeys(COUNTERS, 0.0)
        self._threads = ThreadPoolExecutor(ENCODER_THREADS, "videogen encoder")
        self._store = store or JobStore()
        self._folder = self._store.folder
        self._housekeeper: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        model: Path,
        limits: ServerLimits | None = None,
        device: str | None = None,
        threads: int | None = None,
        dtype: str | None = None,
        store: JobStore | None = None,
    ) -> "Engine":
        """With one replica, in a process of this machine."""
        launcher = ModelProcessLauncher(model, device, dtype, threads)
        return await cls.open(limits or ServerLimits(), [launcher], store)

    @classmethod
    async def open(cls, limits: ServerLimits, launchers: Sequence[Launcher], store: JobStore | None = None) -> "Engine":
        """Returns when the model is loaded; VideogenError, for example CheckpointError, if it cannot be.

        Takes the store over, and closes it.
        """
        engine = cls(limits, *launchers, store=store)
        try:
            await engine._open()
        except BaseException:
            await engine.close()
            raise
        return engine

    async def _open(self) -> None:
        ready = await self.replicas.start()
        info = ModelInfo.from_json(ready.info)
        loop = asyncio.get_running_loop()
        mp4 = await loop.run_in_executor(self._threads, probe_format, info.fps, info.height, info.width)
        self.info = replace(info, mime=mp4.mime)
        self._context = EngineContext(
            info=self.info,
            limits=self.limits,
            format=mp4,
            send=lambda message: None,  # each replica has its own process
            reschedule=self._reschedule,
            threads=self._threads,
            totals=self._totals,
            tasks=self._tasks,
        )
        self.replicas.open(self._context)
        self._uploads = UploadReceiver(self.info, self.limits, self._totals)
        await self._restore_jobs()
        self._housekeeper = asyncio.create_task(self._keep_house(), name="videogen housekeeping")

    async def close(self) -> None:
        """End all streams; leave no process, task, thread or file."""
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._housekeeper
            await self._uploads.close()
        for stream in self._all_streams():
            stream.end("stopped", "the server is shutting down")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.replicas.close()
        self._threads.shutdown()
        await self._store.close()

    def healthy(self) -> bool:
        """Whether there is a model process that can work."""
        return self.replicas.alive() and self.supervised()

    def supervised(self) -> bool:
        """Whether a model process that dies is started again."""
        return self.replicas.supervised() and self._housekeeper is not None and not self._housekeeper.done()

    def kill_model(self, reason: str = "it was killed", replica: int = 0) -> None:
        """Kill a model process; the rest is as if it had died."""
        self.replicas[replica].supervisor.kill(reason)

    # streams

    async def open_stream(self, params: GenerationParams, owner: str = "") -> Stream:
        """InvalidParamError, or BusyError. Limits of fairness count streams by `owner`."""
        max_frames = max(1, int(self.limits.stream_seconds * self.info.fps))
        stream = self._admit(params, max_frames, max_frames, owner, live=True)
        self._streams[stream.id] = stream
        self._reschedule()
        for old in streams_to_evict(self._streams.values(), self.limits):
            del self._streams[old.id]
        return stream

    def stream(self, id: str) -> Stream:
        if id not in self._streams:
            raise NotFoundError("there is no stream with this id, or it has been dropped")
        return self._streams[id]

    def streams(self) -> list[Stream]:
        """The newest first."""
        return list(reversed(self._streams.values()))

    # jobs

    async def submit(self, params: GenerationParams, owner: str = "") -> VideoJob:
        """InvalidParamError, or BusyError."""
        stream = self._admit(params, self.info.default_frames, self.limits.frames, owner, live=False)
        job = self._jobs[stream.id] = VideoJob(stream, self._store, self._delete_oldest)
        try:
            await self._store.add(job.record())
        except BaseException:
            self._store.evicted(job.id)  # it may have been stored when its client left
            self._drop(job)
            raise
        self._reschedule()
        self._evict_jobs()
        return job

    def job(self, id: str) -> VideoJob:
        if id not in self._jobs:
            raise NotFoundError("there is no video with this id, or it has been deleted")
        return self._jobs[id]

    def jobs(self) -> list[VideoJob]:
        """The newest first."""
        return list(reversed(self._jobs.values()))

    async def delete(self, id: str) -> None:
        """Stop and drop a stream or a job; NotFoundError if there is none."""
        if id in self._streams:
            self._streams.pop(id).end("stopped")
        else:
            job = self.job(id)
            await self._store.deleted(id)
            self._drop(job)

    def _drop(self, job: VideoJob) -> None:
        job.discard()
        self._jobs.pop(job.id, None)

    def _evict_jobs(self) -> None:
        for old in jobs_to_evict(self._jobs.values(), self.limits):
            self._store.evicted(old.id)
            self._drop(old)

    def _delete_oldest(self) -> bool:
        """When the disk is full: delete the oldest finished video. False if there is none."""
        finished = [job for job in self._jobs.values() if job.completed_at is not None]
        if not finished:
            return False
        oldest = min(finished, key=lambda job: job.stream.ended_at)
        LOG.warning("the disk is full: the oldest of %d videos is deleted to make room for a new one", len(finished))
        self._store.evicted(oldest.id)
        self._drop(oldest)
        return True

    async def _restore_jobs(self) -> None:
        """Take over the jobs of the server that had the store before."""
        for record in await self._store.load():
            stream = restore_stream(record, self._context)
            job = self._jobs[stream.id] = VideoJob(stream, self._store, self._delete_oldest)
            restore_job(record, job, self._context)
            if stream.ended is None:
                self.replicas.choose().take(stream)
        self._evict_jobs()
        self._reschedule()

    # initial frames

    async def take_upload(self, chunks: AsyncIterator[bytes], kind: UploadKind) -> InitialFrames:
        """UploadError if it cannot be used, BusyError if there is no room for another stream."""
        self._check_room()  # before the client sends it
        return await self._uploads.receive(chunks, kind)

    async def continue_job(self, id: str) -> InitialFrames:
        """The last frames of a job's video; NotFoundError if it has none."""
        self._check_room()
        return await self._uploads.read_file(self.job(id).content(), "video")

    # counters

    @property
    def at_work(self) -> int:
        """Streams with a running task, dropped ones included."""
        return len(self._tasks)

    @property
    def counters(self) -> dict[str, float]:
        """Totals since the start, and current numbers."""
        streams = self._all_streams()
        waiting = sum(stream.status == "queued" for stream in streams)
        current = {
            "streams_open": sum(stream.ended is None for stream in self._streams.values()),
            "jobs_open": sum(job.stream.ended is None for job in self._jobs.values()),
            "queue_length": waiting,
            "playing": sum(stream.status == "playing" for stream in streams),
            "model_restarts": sum(replica.supervisor.restarts for replica in self.replicas),
        }
        return {**self._totals, **current}

    @property
    def replica_counters(self) -> list[dict[str, float]]:
        """The same names for each replica."""
        return [replica.counters() for replica in self.replicas]

    # admission

    def _admit(self, params: GenerationParams, default_frames: int, max_frames: int, owner: str, live: bool) -> Stream:
        validate_request(params, self.info, self.limits, max_frames)
        params = replace(params, control=check_control(params.control, self.info))
        self._make_room(owner)
        seed = secrets.randbelow(RANDOM_SEEDS) if params.seed is None else params.seed
        frames = params.frames or min(default_frames, max_frames)
        stream = self.replicas.choose().open_stream(params, seed, frames, live, owner)
        self._totals["streams_opened" if live else "jobs_opened"] += 1
        return stream

    def _make_room(self, owner: str) -> None:
        """Stop an unwatched stream if there is no room; BusyError if there is no such stream."""
        unwatched = self._stream_to_stop(owner)
        if unwatched is not None:
            unwatched.end("stopped", "it had no viewers, and another stream needed its place")
            self._totals["streams_given_up"] += 1
        self._check_room(owner)

    def _stream_to_stop(self, owner: str) -> Stream | None:
        """The stream to stop for a new one; None if there is room, or no such stream."""
        running = [stream for stream in self._all_streams() if stream.ended is None]
        full = len(running) >= self._room
        return stream_to_stop(running, owner, self.limits, loop_time()) if full else None

    def _check_room(self, owner: str = "") -> None:
        """BusyError if no stream can be started now."""
        running = sum(stream.ended is None for stream in self._all_streams())
        if running >= self._room and self._stream_to_stop(owner) is None:
            self._totals["refused_busy"] += 1
            raise BusyError(f"{self._room} streams and videos are running or waiting; try again later")
        if self.replicas.failure is not None:
            raise BusyError(f"the model process cannot be started: {self.replicas.failure}")

    @property
    def _room(self) -> int:
        """The most streams and videos that run or wait."""
        return self.limits.streams * len(self.replicas) + self.limits.queued

    # the model processes

    def _all_streams(self) -> list[Stream]:
        """Those of jobs included."""
        return [*self._streams.values(), *(job.stream for job in self._jobs.values())]

    def _reschedule(self) -> None:
        self.replicas.reschedule(loop_time())

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            for stream in self._all_streams():
                stream.expire_idle(loop_time())
            self._reschedule()  # a turn may have ended
            for replica in self.replicas:
                replica.end_if_silent(loop_time())
