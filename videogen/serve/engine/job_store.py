"""Where jobs and their videos are kept: in memory and a temporary folder, or in the folder of `--state`.

All that waits for a disk runs in one thread, in the order of the calls.
"""

import asyncio
import errno
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from videogen.serve.engine.job_database import JobDatabase, JobRecord
from videogen.serve.errors import BusyError
from videogen.serve.media.scratch_folder import ScratchFolder
from videogen.serve.media.state_folder import StateFolder, sync_file, write_synced
from videogen.serve.requests import InitialFrames

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
MAX_CRASHES = 3  # deaths of the server until a job that was unfinished in all of them is given up
LOST_VIDEO = "the file of the video was lost; make it again with the same seed"
LOST_FRAMES = "the frames that it begins with were lost while the server was down; make the video again"
CRASHED = f"the server died {MAX_CRASHES} times before the video was finished; it is not tried again"
LOG = logging.getLogger(__name__)


class JobStore:
    """Keeps nothing beyond the life of the server: without `--state`."""

    def __init__(self) -> None:
        self.folder: ScratchFolder | StateFolder = ScratchFolder()

    async def load(self) -> list[JobRecord]:
        """The jobs of earlier servers, in the order of their submission; the first call."""
        return []

    async def add(self, record: JobRecord) -> None:
        """Store a new job before its client hears of it. BusyError if that is not possible now."""

    async def completed(self, record: JobRecord) -> None:
        """Store that its video is complete, before anybody hears of it. OSError if that is not possible."""

    def failed(self, record: JobRecord) -> None:
        """Store soon that it failed, and why."""

    async def deleted(self, id: str) -> None:
        """Forget a job for good. BusyError if that is not possible now."""

    def evicted(self, id: str) -> None:
        """Forget a job soon."""

    async def close(self) -> None:
        """The last call, when no job is worked on."""
        self.folder.remove()


class DiskJobStore(JobStore):
    """Keeps jobs in a folder. LockedError if another server has it, DataError if it cannot be used."""

    def __init__(self, home: Path) -> None:
        self.folder: StateFolder = StateFolder(home)
        try:
            self._database = JobDatabase(self.folder.database)
        except BaseException:
            self.folder.remove()
            raise
        self._thread = ThreadPoolExecutor(1, "videogen jobs")
        self._loaded = False

    async def load(self) -> list[JobRecord]:
        return await self._run(self._load)

    def _load(self) -> list[JobRecord]:
        with self._database.usable():
            records = [self._checked(record) for record in self._database.load()]
            self._database.count_crash()
        self._loaded = True
        others = self.folder.remove_others([record.id for record in records])
        count = Counter(record.status for record in records)
        LOG.info(
            "%s: %d finished videos, %d to be made, %d failed; %d files of no job were deleted",
            *(self.folder.home, count["completed"], count["unfinished"], count["failed"], others),
        )
        return records

    def _checked(self, record: JobRecord) -> JobRecord:
        """The record, with the frames that an unfinished job begins with; as failed if what it needs is not there."""
        if record.status == "completed" and size_of(self.folder.video(record.id)) != record.size:
            LOG.warning("video %s: %s", record.id, LOST_VIDEO)  # not stored: the file may come back
            return replace(record, status="failed", error=LOST_VIDEO, size=0)
        if record.status != "unfinished":
            return record
        if record.crashes >= MAX_CRASHES:
            return self._fail(record, CRASHED)
        initial = record.params.initial_frames
        if initial is None:
            return record
        file, count = self.folder.initial_frames(record.id), initial.count * record.info.height * record.info.width * 3
        if size_of(file) != count:
            return self._fail(record, LOST_FRAMES)
        return replace(record, params=replace(record.params, initial_frames=replace(initial, pixels=file.read_bytes())))

    def _fail(self, record: JobRecord, error: str) -> JobRecord:
        LOG.warning("video %s: %s", record.id, error)
        failed = replace(record, status="failed", error=error, ended_at=time.time())
        self._failed(failed)
        return failed

    async def add(self, record: JobRecord) -> None:
        try:
            await self._run(self._add, record, record.params.initial_frames)
        except (OSError, sqlite3.Error) as error:
            LOG.error("a new job cannot be stored: %s", error)
            raise BusyError("the server cannot store a job now; try again later") from None

    def _add(self, record: JobRecord, initial: InitialFrames | None) -> None:
        if initial is not None:
            self.folder.recreate()
            write_synced(self.folder.initial_frames(record.id), initial.pixels)
        try:
            self._database.insert(record)
        except BaseException:
            self.folder.initial_frames(record.id).unlink(missing_ok=True)
            raise

    async def completed(self, record: JobRecord) -> None:
        try:
            await self._run(self._completed, record)
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from None

    def _completed(self, record: JobRecord) -> None:
        sync_file(self.folder.video(record.id))
        self._database.end(record)
        self.folder.initial_frames(record.id).unlink(missing_ok=True)

    def failed(self, record: JobRecord) -> None:
        self._run_later(self._failed, record)

    def _failed(self, record: JobRecord) -> None:
        self._database.end(record)
        self.folder.initial_frames(record.id).unlink(missing_ok=True)

    async def deleted(self, id: str) -> None:
        try:
            await self._run(self._remove, id)
        except (OSError, sqlite3.Error) as error:
            LOG.error("a job cannot be deleted: %s", error)
            raise BusyError("the server cannot delete the video now; try again later") from None

    def evicted(self, id: str) -> None:
        self._run_later(self._remove, id)

    def _remove(self, id: str) -> None:
        self._database.remove(id)
        for file in (self.folder.video(id), self.folder.initial_frames(id)):
            file.unlink(missing_ok=True)

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        try:
            if self._loaded:
                self._database.forget_crashes()
            self._database.close()
        except sqlite3.Error as error:
            LOG.error("%s: not closed properly: %s", self._database.path, error)
        finally:
            self.folder.remove()

    async def _run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _run_later(self, work: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        def run() -> None:
            try:
                work(*arguments)
            except (OSError, sqlite3.Error) as error:
                LOG.error("the end of a job cannot be stored: %s", error)

        self._thread.submit(run)


def size_of(file: Path) -> int:
    """-1 if there is no such file."""
    return file.stat().st_size if file.is_file() else -1
