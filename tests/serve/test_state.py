"""`--state`: jobs and their videos are the same after a restart of the server, however it ended."""

import asyncio
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serve.scenes import RING, finished, until
from tests.serve.scripted import ScriptedProcess, job_done, scripted
from tests.serve.test_validation import MASKED
from videogen.errors import DataError, LockedError
from videogen.serve.engine import video_job
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.job_database import VERSION
from videogen.serve.engine.job_store import LOST_FRAMES, LOST_VIDEO, MAX_CRASHES, DiskJobStore
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.errors import BusyError, NotFoundError
from videogen.serve.http.routes.videos import video_object
from videogen.serve.messages import StartStream
from videogen.serve.requests import GenerationParams, InitialFrames

SHORT = GenerationParams("x", frames=1)
CLIP = InitialFrames("video", bytes(range(256)) * 9, 2, "cropped to the shape of 16 x 24")  # 2 x 16 x 24 x 3 bytes


@asynccontextmanager
async def server(state: Path, script: ScriptedProcess | None = None, **limits: int) -> AsyncIterator[Engine]:
    async with scripted(script or ScriptedProcess(), store=DiskJobStore(state), **limits) as engine:
        yield engine


async def crash(engine: Engine) -> None:
    """The folder as a killed server leaves it: nothing of what `close` stores."""
    store = engine._store
    assert isinstance(store, DiskJobStore)
    await store._run(store._database.close)
    store._database.forget_crashes = lambda: None  # type: ignore[method-assign]
    store.failed = lambda record: None  # type: ignore[method-assign]


async def failed(engine: Engine, script: ScriptedProcess, reason: str) -> VideoJob:
    job = await engine.submit(SHORT)
    script.ends(job.id, reason)
    return await finished(job)


def test_jobs_that_ended_are_the_same_after_a_restart(tmp_path):
    async def scene():
        script = ScriptedProcess()
        async with server(tmp_path / "state", script) as engine:
            jobs = [await job_done(engine, script, replace(SHORT, initial_frames=CLIP), note="the first 2 frames")]
            jobs.append(await failed(engine, script, "no luck"))
            gone = await job_done(engine, script, SHORT)
            await engine.delete(gone.id)
            before, film = [video_object(job) for job in jobs], jobs[0].content().read_bytes()
        async with server(tmp_path / "state", script) as engine:
            assert [video_object(job) for job in reversed(engine.jobs())] == before
            assert before[0]["note"].endswith("the first 2 frames")
            assert engine.job(jobs[0].id).content().read_bytes() == film
            assert script.started() == [jobs[0].id, jobs[1].id, gone.id], "nothing is made again"
            with pytest.raises(NotFoundError):
                engine.job(gone.id)
            await engine.delete(jobs[0].id)
        async with server(tmp_path / "state") as engine:
            assert [job.id for job in engine.jobs()] == [jobs[1].id]

    asyncio.run(scene())


@pytest.mark.parametrize("killed", [False, True])
def test_unfinished_jobs_are_started_again(tmp_path, killed):
    """A running one and a waiting one with a clip: the model process gets the same requests in the same order."""

    async def scene():
        script, again = ScriptedProcess(), ScriptedProcess()
        params = [GenerationParams("x", frames=9), GenerationParams("y", frames=5, seed=2**53, initial_frames=CLIP)]
        async with server(tmp_path, script, streams=1) as engine:
            jobs = [await engine.submit(each, "10.0.0.1") for each in params]
            script.makes(jobs[0].id)
            await until(lambda: jobs[0].stream.frames_made)
            (first,) = [message for message in script.heard if isinstance(message, StartStream)]
            if killed:
                await crash(engine)
        async with server(tmp_path, again, streams=2) as engine:
            started = [message for message in again.heard if isinstance(message, StartStream)]
            assert started[0] == first
            assert started[1].payload == CLIP.pixels
            assert (started[1].id, started[1].params.seed, started[1].params.prompt) == (jobs[1].id, 2**53, "y")
            assert [job.stream.owner for job in engine.jobs()] == ["10.0.0.1"] * 2
            assert [job.created_at for job in reversed(engine.jobs())] == [job.created_at for job in jobs]

    asyncio.run(scene())


def test_same_bytes_after_a_restart(home, tmp_path, monkeypatch):
    """A real model process makes a job that continues a clip once more, from what was stored of it."""
    engine, clip = home.engine, InitialFrames("video", bytes(range(256)) * 9, 2)
    params = GenerationParams(RING, seed=11, frames=9, initial_frames=clip)

    async def scene():
        film = (await finished(await engine.submit(params))).content().read_bytes()
        store = DiskJobStore(tmp_path)
        monkeypatch.setattr(engine, "_store", store)
        job = await engine.submit(params)
        engine._drop(job)  # as a server that is killed: the store does not hear of it
        await until(job.stream.task.done)
        await engine._restore_jobs()
        again = await finished(engine.job(job.id))
        assert again is not job
        assert again.content().read_bytes() == film
        await engine.delete(job.id)
        await store.close()

    home.run(scene())


def test_a_job_that_began_again_on_another_replica_is_stored_once(tmp_path):
    async def scene():
        first, second = ScriptedProcess(), ScriptedProcess()
        async with scripted(first, second, store=DiskJobStore(tmp_path)) as engine:
            job = await engine.submit(replace(SHORT, initial_frames=CLIP))
            await until(lambda: first.started() or second.started())
            lost, other = (first, second) if first.started() else (second, first)
            lost.die()
            await until(other.started)
            other.makes(job.id)
            other.ends(job.id)
            before = video_object(await finished(job))
        async with server(tmp_path) as engine:
            assert [video_object(each) for each in engine.jobs()] == [before]
            assert before["status"] == "completed"

    asyncio.run(scene())


@pytest.mark.parametrize("deleted", [False, True])
def test_the_server_ends_or_the_job_is_deleted_while_its_video_is_written(tmp_path, monkeypatch, deleted):
    writing, write = threading.Event(), video_job.write_atomically

    async def scene():
        script = ScriptedProcess()
        async with server(tmp_path, script) as engine:
            job = await engine.submit(SHORT)

            def slow(path: Path, data: bytes) -> None:
                writing.set()
                while job.stream.ended is None:
                    time.sleep(0.01)
                write(path, data)

            monkeypatch.setattr(video_job, "write_atomically", slow)
            script.makes(job.id)
            script.ends(job.id)
            await until(writing.is_set)
            if deleted:
                await engine.delete(job.id)
        async with server(tmp_path) as engine:
            assert [each.status for each in engine.jobs()] == ([] if deleted else ["completed"])
        assert len(list((tmp_path / "videos").iterdir())) == len(engine.jobs())

    asyncio.run(scene())


def test_limits_hold_over_a_restart(tmp_path):
    async def scene():
        script = ScriptedProcess()
        async with server(tmp_path, script) as engine:
            jobs = [await job_done(engine, script, SHORT) for _ in range(4)]
        async with server(tmp_path, kept_videos=2) as engine:
            assert [job.id for job in engine.jobs()] == [jobs[3].id, jobs[2].id]
        assert len(list((tmp_path / "videos").iterdir())) == 2
        async with server(tmp_path, kept_bytes=jobs[3].size) as engine:
            assert [job.id for job in engine.jobs()] == [jobs[3].id]

    asyncio.run(scene())


def test_files_without_a_job_are_removed_and_jobs_without_a_file_are_lost(tmp_path):
    async def scene():
        script = ScriptedProcess()
        async with server(tmp_path, script) as engine:
            job = await job_done(engine, script, SHORT)
            waiting = await engine.submit(replace(SHORT, initial_frames=CLIP))
        film = (tmp_path / "videos" / f"{job.id}.mp4").rename(tmp_path / "film.mp4")
        (tmp_path / "initial_frames" / f"{waiting.id}.rgb").write_bytes(b"torn")
        others = [tmp_path / "videos" / ("0" * 32 + end) for end in (".mp4", ".part")]
        mine = [tmp_path / "videos" / "holiday.mp4", tmp_path / "notes.txt"]
        for file in (*others, *mine):
            file.write_bytes(b"x")
        async with server(tmp_path) as engine:
            assert {each.id: (each.status, each.error) for each in engine.jobs()} == {
                job.id: ("failed", LOST_VIDEO),
                waiting.id: ("failed", LOST_FRAMES),
            }
        film.rename(tmp_path / "videos" / f"{job.id}.mp4")
        async with server(tmp_path) as engine:
            assert [each.status for each in engine.jobs()] == ["failed", "completed"], "the file is back"
        assert not any(file.exists() for file in others)
        assert all(file.exists() for file in mine), "only what a server has named is deleted"

    asyncio.run(scene())


def test_unfinished_jobs_of_another_model_fail_and_its_videos_stay(tmp_path, monkeypatch):
    async def scene():
        script = ScriptedProcess()
        async with server(tmp_path, script) as engine:
            done, open_job = await job_done(engine, script, SHORT), await engine.submit(SHORT)
            before, film = video_object(done), done.content().read_bytes()
        monkeypatch.setattr("tests.serve.scripted.MASKED", replace(MASKED, name="other", height=32, fps=4.0))
        for _ in range(2):
            async with server(tmp_path) as engine:
                assert video_object(engine.job(done.id)) == before
                assert engine.job(done.id).content().read_bytes() == film
                lost = await finished(engine.job(open_job.id))
                assert lost.error is not None
                assert "other" in lost.error
                assert video_object(lost)["model"] == MASKED.name

    asyncio.run(scene())


def test_a_job_that_kills_the_server_is_given_up(tmp_path):
    async def scene():
        async with server(tmp_path) as engine:
            job = await engine.submit(SHORT)
        for _ in range(MAX_CRASHES):
            async with server(tmp_path) as engine:
                assert engine.job(job.id).status == "in_progress"
                await crash(engine)
        async with server(tmp_path) as engine:
            assert engine.job(job.id).status == "failed"

    asyncio.run(scene())


def test_a_folder_has_one_server(tmp_path):
    store = DiskJobStore(tmp_path)
    with pytest.raises(LockedError, match="in use by the server with process"):
        DiskJobStore(tmp_path)
    asyncio.run(store.close())
    asyncio.run(DiskJobStore(tmp_path).close())


def test_prompts_are_private(tmp_path):
    async def scene():
        script = ScriptedProcess()
        async with server(tmp_path / "state", script) as engine:
            await job_done(engine, script, SHORT)
            await engine.submit(replace(SHORT, initial_frames=CLIP))
            for place in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
                assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600), place
            secret = GenerationParams("the secret prompt", frames=1)
            await engine.delete((await job_done(engine, script, secret)).id)
        assert b"the secret prompt" not in (tmp_path / "state" / "jobs.sqlite3").read_bytes()

    asyncio.run(scene())


def test_a_database_that_cannot_be_read_is_left_alone(tmp_path):
    async def made() -> None:
        script = ScriptedProcess()
        async with server(tmp_path, script) as engine:
            await job_done(engine, script, SHORT)

    asyncio.run(made())
    database, films = tmp_path / "jobs.sqlite3", set((tmp_path / "videos").iterdir())
    good = database.read_bytes()

    def refused(reason: str) -> None:
        content = database.read_bytes()
        with pytest.raises(DataError, match=reason) as caught:
            asyncio.run(made())
        assert "\n" not in str(caught.value)
        assert (database.read_bytes(), set((tmp_path / "videos").iterdir())) == (content, films)

    database.write_bytes(good[: len(good) // 2])
    refused("damaged")
    database.write_bytes(b"x" * len(good))
    refused("damaged")
    database.write_bytes(b"")
    refused("empty")
    for change, reason in (
        (f"PRAGMA user_version = {VERSION + 1}", "later videogen"),
        ("PRAGMA application_id = 7", "another program"),
        ("UPDATE jobs SET params = 'x'", "damaged"),
    ):
        database.write_bytes(good)
        with sqlite3.connect(database) as connection:
            connection.execute(change)
        connection.close()
        refused(reason)
    database.unlink()
    with pytest.raises(DataError, match="not empty"):
        DiskJobStore(tmp_path)


def test_a_job_that_cannot_be_stored_is_refused(tmp_path):
    async def scene():
        async with server(tmp_path) as engine:
            store = engine._store
            assert isinstance(store, DiskJobStore)
            await store._run(store._database._connection.execute, "PRAGMA query_only = ON")
            with pytest.raises(BusyError, match="store"):
                await engine.submit(SHORT)
            assert engine.jobs() == []
            await store._run(store._database._connection.execute, "PRAGMA query_only = OFF")
            assert (await engine.submit(SHORT)).status == "in_progress"

    asyncio.run(scene())
