"""Clips and pictures of strangers: written to a file without a name, read in a process of their own that has limits.

Limits of memory, time, pixels and pictures; and it can write no file. It is no prison: it has the server's own rights.
So what it answers is checked here: a count, a remark, and exactly as many bytes of pictures. The file that arrives is
opened by that process alone, and nothing of the client's is ever used as a path.
"""

import asyncio
import json
import os
import subprocess
import tempfile
from asyncio import Semaphore
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from videogen.serve.child_process import ChildProcess, packages
from videogen.serve.errors import RETRY_AFTER, BusyError, UploadError, UploadTooLargeError
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import UploadRead, UploadRejected
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import InitialFrames

READER = "videogen.serve.uploads.reader"
Kind = Literal["video", "image"]
GAVE_UP = "cannot be read: it needs more memory or time than there is for it, or its decoder gave up"


class UploadReceiver:
    """Only so many are read at once; the others wait, and not too many of them."""

    def __init__(self, info: ModelInfo, limits: ServerLimits, tally: dict[str, float]):
        self.info, self.limits, self.tally = info, limits, tally
        self._turn = Semaphore(limits.uploads)
        self._there = 0
        self._tasks: set[asyncio.Task[InitialFrames]] = set()

    async def take(self, chunks: AsyncIterator[bytes], kind: Kind) -> InitialFrames:
        """UploadError if it cannot be used, BusyError if too many others are there."""
        try:
            with self._one_more(), tempfile.TemporaryFile() as file:
                await self._receive(chunks, file)
                initial_frames = await self._read(file, kind)
        except UploadError:
            self.tally["uploads_refused"] += 1
            raise
        self.tally["uploads_taken"] += 1
        return initial_frames

    async def read(self, path: Path, kind: Kind) -> InitialFrames:
        """A file of our own, with the same care and under the same limits."""
        with self._one_more(), path.open("rb") as file:
            return await self._read(file, kind)

    async def close(self) -> None:
        """Who is reading stops; their callers hear of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        """Hold a place in the queue; BusyError if it is full, or if disk, memory or processes run out."""
        if self._there >= self.limits.uploads + self.limits.waiting_uploads:
            raise BusyError("many clips are being read; try again later", RETRY_AFTER)
        self._there += 1
        try:
            yield
        except OSError as error:
            raise BusyError(f"the clip cannot be read now ({error.strerror or error})", RETRY_AFTER) from None
        finally:
            self._there -= 1

    async def _receive(self, chunks: AsyncIterator[bytes], file: BinaryIO) -> None:
        size = 0
        try:
            async with asyncio.timeout(self.limits.receive_seconds):
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.limits.upload_bytes:
                        raise UploadTooLargeError(
                            f"the upload has more than {self.limits.upload_bytes} bytes, the limit"
                        )
                    file.write(chunk)
        except TimeoutError:
            raise UploadError(f"the upload did not arrive within {self.limits.receive_seconds:g} seconds") from None
        if size == 0:
            raise UploadError("the upload holds no bytes")
        file.flush()

    async def _read(self, file: BinaryIO, kind: Kind) -> InitialFrames:
        async with self._turn:
            task = asyncio.create_task(self._asked(file.fileno(), kind), name="videogen upload")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return await task

    async def _asked(self, descriptor: int, kind: Kind) -> InitialFrames:
        info, limits = self.info, self.limits
        task = {
            "kind": kind,
            "fps": info.fps,
            "height": info.height,
            "width": info.width,
            "last": info.frames_of_use,
            "seconds": int(limits.upload_seconds),
            "memory": limits.upload_memory,
            "pixels": limits.upload_pixels,
            "frames": limits.upload_frames,
        }
        arguments = [str(descriptor), json.dumps(task)]
        child = await ChildProcess.start(READER, arguments, bare(), (descriptor,), subprocess.DEVNULL)
        try:
            async with asyncio.timeout(limits.upload_seconds):
                said = await child.receive(info.frames_of_use * info.height * info.width * 3)
        except (EOFError, ValueError, TimeoutError):
            raise UploadError(f"the {kind} {GAVE_UP}") from None
        finally:
            await child.end()
        return self._checked(said, kind)

    def _checked(self, said: object, kind: Kind) -> InitialFrames:
        if isinstance(said, UploadRejected):
            raise UploadError(f"the {kind} cannot be used: {said.message}")
        size = self.info.height * self.info.width * 3
        if not isinstance(said, UploadRead) or said.count * size != len(said.payload) or said.count < 1:
            raise UploadError(f"the {kind} {GAVE_UP}")
        return InitialFrames(kind, said.payload, said.count, str(said.note)[:200])


def bare() -> dict[str, str]:
    """An environment that says where the packages are, and nothing else; one thread is enough."""
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**packages(), **quiet, "PATH": os.defpath}
