"""Receives clips and images of clients into unnamed files, and has each read by a process of its own.

That process has limits of memory, time, pixels and frames, and can write no file; but it is not a sandbox: it runs with
the server's rights. So its answer is validated here: a count, a note, and exactly as many bytes of frames. Only that
process opens the uploaded file, and nothing from the client is used as a path.
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

from videogen.serve.child_process import ChildProcess, python_path
from videogen.serve.errors import BusyError, UploadError, UploadTooLargeError
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import UploadRead, UploadRejected
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import InitialFrames

READER = "videogen.serve.uploads.reader"
UploadKind = Literal["video", "image"]
GAVE_UP = "cannot be read: it needs more memory or time than the limits allow, or its decoder failed"
NOTE_CHARS = 200


class UploadReceiver:
    """Reads a few uploads at once; a few others wait."""

    def __init__(self, info: ModelInfo, limits: ServerLimits, totals: dict[str, float]):
        self.info, self.limits, self.totals = info, limits, totals
        self._readers = Semaphore(limits.uploads)
        self._open = 0
        self._tasks: set[asyncio.Task[InitialFrames]] = set()

    async def receive(self, chunks: AsyncIterator[bytes], kind: UploadKind) -> InitialFrames:
        """UploadError if the upload cannot be used, BusyError if too many others are open."""
        try:
            with self._slot(), tempfile.TemporaryFile() as file:
                await self._save(chunks, file)
                initial_frames = await self._read(file, kind)
        except UploadError:
            self.totals["uploads_refused"] += 1
            raise
        self.totals["uploads_taken"] += 1
        return initial_frames

    async def read_file(self, path: Path, kind: UploadKind) -> InitialFrames:
        """Read a file of the server's own, in the same process and under the same limits."""
        with self._slot(), path.open("rb") as file:
            return await self._read(file, kind)

    async def close(self) -> None:
        """Cancel all reads."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """BusyError if too many uploads are open, or if the system is out of disk, memory or processes."""
        if self._open >= self.limits.uploads + self.limits.waiting_uploads:
            raise BusyError("many clips are being read; try again later")
        self._open += 1
        try:
            yield
        except OSError as error:
            raise BusyError(f"the clip cannot be read now ({error.strerror or error})") from None
        finally:
            self._open -= 1

    async def _save(self, chunks: AsyncIterator[bytes], file: BinaryIO) -> None:
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
            raise UploadError("the upload is empty")
        file.flush()

    async def _read(self, file: BinaryIO, kind: UploadKind) -> InitialFrames:
        async with self._readers:
            task = asyncio.create_task(self._run_reader(file.fileno(), kind), name="videogen upload")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return await task

    async def _run_reader(self, descriptor: int, kind: UploadKind) -> InitialFrames:
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
        child = await ChildProcess.start(
            READER, arguments, minimal_environment(), (descriptor,), output=subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(limits.upload_seconds):
                answer = await child.receive(info.frames_of_use * info.height * info.width * 3)
        except (EOFError, ValueError, TimeoutError):
            raise UploadError(f"the {kind} {GAVE_UP}") from None
        finally:
            await child.stop()
        return self._validated(answer, kind)

    def _validated(self, answer: object, kind: UploadKind) -> InitialFrames:
        if isinstance(answer, UploadRejected):
            raise UploadError(f"the {kind} cannot be used: {answer.message}")
        size = self.info.height * self.info.width * 3
        if not isinstance(answer, UploadRead) or answer.count * size != len(answer.payload) or answer.count < 1:
            raise UploadError(f"the {kind} {GAVE_UP}")
        return InitialFrames(kind, answer.payload, answer.count, str(answer.note)[:NOTE_CHARS])


def minimal_environment() -> dict[str, str]:
    """Where the packages are, and one thread; nothing else of our environment."""
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**python_path(), **single, "PATH": os.defpath}
