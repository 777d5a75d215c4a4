"""What clients hold: streams, and jobs, which are streams of a given length whose film is kept as a file."""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from videogen.errors import ResourceError
from videogen.serve.engine.stream import Stream
from videogen.serve.errors import NotFoundError
from videogen.serve.media.film import film_of
from videogen.serve.media.scratch_folder import ScratchFolder
from videogen.serve.requests import GenerationParams

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
JobStatus = Literal["queued", "in_progress", "completed", "failed"]


class VideoJob:
    """What is in `folder` under its id is its own. `make_room` deletes another one's file, if there is any."""

    def __init__(self, stream: Stream, folder: ScratchFolder, make_room: Callable[[], bool]):
        self.stream, self._path = stream, folder.path / f"{stream.id}.mp4"
        self._folder, self._make_room = folder, make_room
        self.completed_at: float | None = None
        self.size = 0  # bytes that are kept of it
        stream.on_whole = self._keep

    @property
    def id(self) -> str:
        return self.stream.id

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
        return "in_progress" if self.stream.begun else "queued"

    @property
    def progress(self) -> int:
        """Per cent of its pictures; 100 only when it can be had."""
        share = 100 * self.stream.pictures // self.frames
        return 100 if self.completed_at is not None else min(99, share)

    def content(self) -> Path:
        """The mp4; NotFoundError if it is not there, or not yet."""
        if self.completed_at is None:
            raise NotFoundError(f"the video is {self.status.replace('_', ' ')}; it has no content")
        if not self._path.exists():  # somebody tidies up folders of temporary files
            raise NotFoundError("the video's file is not there any more; have it made again")
        return self._path

    def forget(self) -> None:
        """No work for it any more, and no file of it."""
        self.stream.end("stopped", "deleted")
        self._path.unlink(missing_ok=True)

    async def _keep(self) -> None:
        show = self.stream.show
        made = show.shared.form, list(show.recent.pieces), self.stream.metadata()
        film = await self.stream.shared.aside(film_of, *made)
        while True:
            try:
                self._folder.make_again()
                await self.stream.shared.aside(write_whole, self._path, film)
                break
            except OSError as error:
                if error.errno not in NO_SPACE or not self._make_room():
                    raise ResourceError(f"the video cannot be kept: {error.strerror or error}") from None
        if self.stream.ended is not None:  # deleted meanwhile
            self._path.unlink(missing_ok=True)
            return
        self.completed_at, self.size = time.time(), self._path.stat().st_size


def write_whole(path: Path, data: bytes) -> None:
    """All of it, or nothing."""
    part = path.with_suffix(".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
