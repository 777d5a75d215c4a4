"""What an engine releases by itself, and what remains of a closed one."""

import asyncio
import errno
import math
import shutil
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.serve.scenes import RING, children, descriptors, finished, tasks, until
from tests.serve.scripted import ScriptedProcess, job_done, scripted
from videogen.errors import CheckpointError
from videogen.serve.engine import video_job
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.retention import jobs_to_evict, streams_to_evict
from videogen.serve.errors import BusyError, NotFoundError
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import StartStream
from videogen.serve.requests import GenerationParams, InitialFrames


def test_missing_model_raises_checkpoint_error(tmp_path):
    async def scene():
        with pytest.raises(CheckpointError):
            await Engine.start(tmp_path / "nowhere")
        assert (tasks(), children()) == (1, before)

    before = children()
    asyncio.run(scene())


def test_unwatched_streams_are_paused_and_then_stopped(tiny_model_folder):
    """An engine that is closed while it works leaves nothing."""
    limits = ServerLimits(streams=3, queued=1, idle_seconds=0.3, forget_seconds=1.0, paused_seconds=0.5, kept_streams=1)

    async def scene():
        engine = await Engine.start(tiny_model_folder, limits, threads=1)
        alone, held = [await engine.open_stream(GenerationParams(RING)) for _ in range(2)]
        await held.change(paused=True)
        async with held.watch_video():
            await until(lambda: alone.status == "paused")
            await until(lambda: held.status == "stopped")
        await until(lambda: alone.status == "stopped")
        stream, job = (
            await engine.open_stream(GenerationParams(RING)),
            await engine.submit(GenerationParams(RING, frames=900)),
        )
        with pytest.raises(NotFoundError):
            engine.stream(held.id)  # only so many are kept, and it ended first
        async with stream.watch_video() as video:
            await anext(video)
            folder = Path(engine._folder.path)
            await engine.close()
            await until(lambda: video.closed)
        assert (stream.status, job.status) == ("stopped", "failed")
        assert not engine.healthy()
        assert not folder.exists()
        assert tasks() == 1

    before = descriptors(), threading.active_count(), children()
    asyncio.run(scene())
    assert (descriptors(), threading.active_count(), children()) == before


def test_finished_videos_are_kept_up_to_the_limit(tiny_model_folder):
    async def scene():
        engine = await Engine.start(tiny_model_folder, ServerLimits(kept_videos=2), threads=1)
        jobs = [
            await finished(await engine.submit(GenerationParams(RING, seed=number, frames=5))) for number in range(4)
        ]
        with pytest.raises(NotFoundError):
            engine.job(jobs[0].id)
        assert engine.jobs() == jobs[:0:-1]
        assert len(list(Path(engine._folder.path).iterdir())) == 3
        await engine.close()

    asyncio.run(scene())


PICTURE = InitialFrames("image", b"x" * 16 * 24 * 3, 1, "a note")


def test_initial_frames_are_released():
    """When the model process has them, or when it will never need them."""

    async def scene():
        script = ScriptedProcess()
        async with scripted(script, streams=1) as engine:
            begun, waiting = [await engine.open_stream(GenerationParams("x", initial_frames=PICTURE)) for _ in range(2)]
            (message,) = [message for message in script.heard if isinstance(message, StartStream)]
            assert message.payload == PICTURE.pixels
            assert begun.params.initial_frames == replace(PICTURE, pixels=b"")
            assert waiting.params.initial_frames == PICTURE
            await waiting.stop()
            await asyncio.wait([waiting.task])
            assert waiting.params.initial_frames == replace(PICTURE, pixels=b"")

    asyncio.run(scene())


def test_failed_job_keeps_no_fragments():
    async def scene():
        script = ScriptedProcess()
        async with scripted(script) as engine:
            job, stream = (
                await engine.submit(GenerationParams("x", frames=5)),
                await engine.open_stream(GenerationParams("x")),
            )
            for name in (job.id, stream.id):
                script.makes(name)
                script.ends(name, "broken")
            async with asyncio.timeout(60):
                await asyncio.wait([job.stream.task, stream.task])
            assert (job.status, job.stream.frames_made) == ("failed", 1)
            assert not job.stream.broadcast.buffer.fragments
            assert stream.broadcast.buffer.fragments, "what has been made of a stream can still be fetched"

    asyncio.run(scene())


def test_deleted_file_is_not_found_and_new_jobs_work():
    async def scene():
        script = ScriptedProcess()
        async with scripted(script) as engine:
            job = await job_done(engine, script, GenerationParams("x", frames=1))
            size = job.content().stat().st_size
            shutil.rmtree(engine._folder.path)
            with pytest.raises(NotFoundError):
                job.content()
            with pytest.raises(NotFoundError):
                await engine.continue_job(job.id)
            assert (job.status, job.size) == ("completed", size)
            again = await job_done(engine, script, GenerationParams("x", frames=1))
            assert again.content().read_bytes()
            await engine.delete(job.id)

    asyncio.run(scene())


def test_full_disk_evicts_the_oldest_videos(monkeypatch, caplog):
    """With no room for any video, the new one fails alone, with the reason."""
    room, write = [3], video_job.write_atomically

    def crowded(path, data):
        if len(list(path.parent.iterdir())) >= room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(video_job, "write_atomically", crowded)

    async def scene():
        script = ScriptedProcess()
        async with scripted(script) as engine:
            jobs = [await job_done(engine, script, GenerationParams("x", frames=1)) for _ in range(5)]
            assert engine.jobs() == jobs[:1:-1]
            room[0] = 1
            last = await job_done(engine, script, GenerationParams("x", frames=1))
            assert engine.jobs() == [last]
            room[0] = 0
            failed = await job_done(engine, script, GenerationParams("x", frames=1))
            assert (failed.status, failed.error) == ("failed", "the video cannot be saved: No space left on device")
            stream = await engine.open_stream(GenerationParams("x"))
            script.makes(stream.id)
            await until(lambda: stream.frames_made == 1)
            monkeypatch.setattr(tempfile, "mkdtemp", lambda *_, **__: pytest.fail("no file is needed"))
            assert await stream.recent_video()
            assert engine.healthy()

    asyncio.run(scene())
    assert "the disk is full" in caplog.text


def ended(name, at, size=0):
    stream = SimpleNamespace(id=name, ended=None if at is None else "stopped", ended_at=math.inf if at is None else at)
    return SimpleNamespace(id=name, stream=stream, size=size)


def test_oldest_finished_are_evicted_first():
    """The start time does not matter, and running ones stay."""
    jobs = [ended("old", 9.0, 10), ended("a", 1.0, 10), ended("on", None), ended("b", 2.0, 10), ended("c", 3.0, 10)]

    def names(found):
        return [one.id for one in found]

    assert names(streams_to_evict([job.stream for job in jobs], ServerLimits(kept_streams=2))) == ["a", "b"]
    assert names(streams_to_evict([job.stream for job in jobs], ServerLimits(kept_streams=4))) == []
    assert names(jobs_to_evict(jobs, ServerLimits(kept_videos=1))) == ["a", "b", "c"]
    assert names(jobs_to_evict(jobs, ServerLimits(kept_bytes=20))) == ["a", "b"]
    assert names(jobs_to_evict(jobs, ServerLimits(kept_bytes=40))) == []


def test_unwatched_streams_make_room_for_others():
    """Abandoned streams block others for a moment at most; watched streams and jobs stay."""

    async def scene():
        async with scripted(ScriptedProcess(), streams=2, queued=2, spare_seconds=0.3) as engine:
            job = await engine.submit(GenerationParams("x"), "a")
            dropped = [await engine.open_stream(GenerationParams("x"), "a") for _ in range(3)]
            async with dropped[0].watch_video():
                theirs = await engine.open_stream(GenerationParams("x"), "b")  # of an address that has less, at once
                assert [stream.status for stream in dropped] == ["playing", "stopped", "queued"]
                assert dropped[1].error is not None
                async with theirs.watch_video():
                    with pytest.raises(BusyError):  # of the same address, after a while
                        await engine.open_stream(GenerationParams("x"), "a")
                    await asyncio.sleep(0.3)
                    with pytest.raises(NotFoundError):
                        await engine.continue_job(job.id)  # there would be room, but it has no video yet
                    assert dropped[2].ended is None, "nobody has come yet"
                    newest = await engine.open_stream(GenerationParams("x"), "a")
                    assert dropped[2].status == "stopped"
                    async with newest.watch_video():
                        with pytest.raises(BusyError):
                            await engine.submit(GenerationParams("x"), "c")
                assert (job.status, dropped[0].ended, engine.counters["streams_given_up"]) == ("in_progress", None, 2)

    asyncio.run(scene())


def test_end_time_is_recorded():
    async def scene():
        async with scripted(ScriptedProcess()) as engine:
            stream = await engine.open_stream(GenerationParams("x"))
            assert stream.ended_at == math.inf
            before = asyncio.get_running_loop().time()
            await stream.stop()
            assert before <= stream.ended_at <= asyncio.get_running_loop().time()

    asyncio.run(scene())


def test_full_server_refuses_before_the_upload():
    async def never():
        raise AssertionError("the clip was asked for")
        yield b""

    async def scene():
        async with scripted(ScriptedProcess(), streams=1, queued=0) as engine:
            job = await job_done(engine, engine.replicas[0].supervisor.launcher, GenerationParams("x"))
            await engine.open_stream(GenerationParams("x"))
            with pytest.raises(BusyError):
                await engine.take_upload(never(), "video")
            with pytest.raises(BusyError):
                await engine.continue_job(job.id)
            assert engine.counters["refused_busy"] == 2

    asyncio.run(scene())


@pytest.mark.slow
def test_hanging_model_process_is_restarted(tiny_model_folder):
    async def scene():
        engine = await Engine.start(tiny_model_folder, ServerLimits(patience_seconds=10), threads=1)
        child = engine.replicas[0].supervisor.child
        assert child is not None
        await asyncio.sleep(11)  # silence is no offence where there is nothing to do
        job = await finished(await engine.submit(GenerationParams(RING, frames=5)))
        assert job.status == "completed"
        child.process.send_signal(signal.SIGSTOP)
        job = await finished(await engine.submit(GenerationParams(RING, frames=5)))
        assert job.status == "failed"
        assert job.error is not None
        assert (await finished(await engine.submit(GenerationParams(RING, frames=5)))).status == "completed"
        await engine.close()

    asyncio.run(scene())


def test_notes_of_upload_and_model_are_joined():
    async def scene():
        script = ScriptedProcess()
        async with scripted(script) as engine:
            params = GenerationParams(
                "x", frames=1, initial_frames=InitialFrames("image", bytes(16 * 24 * 3), 1, "cropped")
            )
            job = await job_done(engine, script, params, "unlike the playroom")
            assert job.params.initial_frames.note == "cropped; unlike the playroom"

    asyncio.run(scene())
