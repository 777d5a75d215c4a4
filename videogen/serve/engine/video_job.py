"""A job: a stream of fixed length whose video is kept as a file."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from videogen.errors import ResourceError
from videogen.serve.engine.job_database import JobRecord, RecordStatus
from videogen.serve.engine.job_store import JobStore
from videogen.serve.engine.stream import Stream
from videogen.serve.errors import NotFoundError
from videogen.serve.media.mp4 import mux_mp4
from videogen.serve.media.state_folder import write_atomically
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
JobStatus = Literal["queued", "in_progress", "completed", "failed"]


class VideoJob:
    """Owns the file in the store's folder that is named after its id.

    `make_room` deletes another job's file, if there is one.
    """

    def __init__(self, stream: Stream, store: JobStore, make_room: Callable[[], bool]):
        self.stream, self._path = stream, store.folder.path / f"{stream.id}.mp4"
        self._store, self._make_room = store, make_room
        self.completed_at: float | None = None
        self.size = 0  # bytes of its file
        self._discarded = False
        self._attach(stream)

    @property
    def id(self) -> str:
        return self.stream.id

    @property
    def info(self) -> ModelInfo:
        """The model that it is for, or was made by."""
        return self.stream.context.info

    @property
    def params(self) -> GenerationParams:
        return self.stream.params

    @property
    def seed(self) -> int:
        return self.stream.seed

    @property
    def frames(self) -> int:
        return self.stream.frames

    @property
    def created_at(self) -> float:
        return self.stream.created_at

    @property
    def error(self) -> str | None:
        return self.stream.error

    @property
    def queue_position(self) -> int | None:
        return self.stream.queue_position

    @property
    def status(self) -> JobStatus:
        if self.stream.ended is not None:
            return "failed" if self.completed_at is None else "completed"
        return "in_progress" if self.stream.started else "queued"

    @property
    def progress(self) -> int:
        """Percent of its frames; 100 only when the file can be downloaded."""
        percent = 100 * self.stream.frames_made // self.frames
        return 100 if self.completed_at is not None else min(99, percent)

    def content(self) -> Path:
        """The mp4; NotFoundError if there is none."""
        if self.completed_at is None:
            raise NotFoundError(f"the video is {self.status.replace('_', ' ')}; it has no content")
        if not self._path.exists():  # something has cleaned up temporary folders
            raise NotFoundError("the video's file has been deleted; make the video again")
        return self._path

    def discard(self) -> None:
        """Stop it and delete its file."""
        self._discarded = True
        self.stream.end("stopped", "deleted")
        self._path.unlink(missing_ok=True)

    def _attach(self, stream: Stream) -> None:
        self.stream = stream
        stream.on_complete, stream.on_lost = self._save, self._begin_again
        if stream.ended is None:
            stream.task.add_done_callback(lambda _: self._on_end(stream))

    def _begin_again(self) -> Stream:
        """From the first frame, with the same seed: the bytes are the same."""
        self._attach(self.stream.begin_again())
        self.stream.context.totals["jobs_restarted"] += 1
        return self.stream

    async def _save(self) -> None:
        broadcast, context = self.stream.broadcast, self.stream.context
        fragments = list(broadcast.buffer.fragments)
        mp4 = await context.run_in_thread(mux_mp4, context.format, fragments, self.stream.metadata())
        completed_at = time.time()
        while True:
            try:
                self._store.folder.recreate()
                await context.run_in_thread(write_atomically, self._path, mp4)
                await self._store.completed(self.record("completed", completed_at, len(mp4)))
                break
            except OSError as error:
                if error.errno not in NO_SPACE or not self._make_room():
                    raise ResourceError(f"the video cannot be saved: {error.strerror or error}") from None
        if self._discarded:  # while it was being written
            self._path.unlink(missing_ok=True)
            return
        self.completed_at, self.size = completed_at, len(mp4)

    def _on_end(self, stream: Stream) -> None:
        if stream.ended == "failed":
            self._store.failed(self.record("failed", time.time()))

    def record(self, status: RecordStatus = "unfinished", ended_at: float | None = None, size: int = 0) -> JobRecord:
        """What is to be stored of it now."""
        stream = self.stream
        request = (self.id, stream.owner, stream.request_id, self.params, self.seed, self.frames, self.created_at)
        made, error = stream.frames_made, self.error
        return JobRecord(
            *request, self.info, status=status, frames_made=made, ended_at=ended_at, size=size, error=error
        )
