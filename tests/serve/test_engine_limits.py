"""What an engine lets go of by itself, and what is left of one that is closed."""

import asyncio
import signal
import threading
from pathlib import Path

import pytest

from tests.serve.scenes import RING, children, descriptors, finished, tasks, until
from tests.serve.scripted import Script, job_done, scripted
from videogen.errors import CheckpointError
from videogen.serve.engine import Engine
from videogen.serve.limits import Limits
from videogen.serve.wishes import Busy, Gone, Wish


def test_no_model_no_engine(tmp_path):
    async def scene():
        with pytest.raises(CheckpointError):
            await Engine.start(tmp_path / "nowhere")
        assert (tasks(), children()) == (1, before)

    before = children()
    asyncio.run(scene())


def test_unwatched_streams_are_paused_and_then_ended(tiny_model_folder):
    """And an engine that is closed while it works leaves nothing."""
    limits = Limits(streams=3, queued=1, idle_seconds=0.3, forget_seconds=1.0, paused_seconds=0.5, kept_streams=1)

    async def scene():
        engine = await Engine.start(tiny_model_folder, limits, threads=1)
        alone, held = [await engine.open_stream(Wish(RING)) for _ in range(2)]
        await held.change(paused=True)
        async with held.watch_film():
            await until(lambda: alone.status == "paused")
            await until(lambda: held.status == "stopped")
        await until(lambda: alone.status == "stopped")
        stream, job = await engine.open_stream(Wish(RING)), await engine.submit(Wish(RING, frames=900))
        with pytest.raises(Gone):
            engine.stream(alone.id)  # only so many are kept
        async with stream.watch_film() as film:
            await anext(film)
            folder = Path(engine._folder.name)
            await engine.close()
            await until(lambda: film.closed)
        assert (stream.status, job.status) == ("stopped", "failed")
        assert not engine.healthy()
        assert not folder.exists()
        assert tasks() == 1

    before = descriptors(), threading.active_count(), children()
    asyncio.run(scene())
    assert (descriptors(), threading.active_count(), children()) == before


def test_finished_videos_are_kept_while_there_is_room(tiny_model_folder):
    async def scene():
        engine = await Engine.start(tiny_model_folder, Limits(kept_videos=2), threads=1)
        jobs = [await finished(await engine.submit(Wish(RING, seed=number, frames=5))) for number in range(4)]
        with pytest.raises(Gone):
            engine.job(jobs[0].id)
        assert engine.jobs() == jobs[:0:-1]
        assert len(list(Path(engine._folder.name).iterdir())) == 3
        await engine.close()

    asyncio.run(scene())


def test_a_full_house_says_so_before_a_clip_is_sent():
    async def never():
        raise AssertionError("the clip was asked for")
        yield b""

    async def scene():
        async with scripted(Script(), streams=1, queued=0) as engine:
            job = await job_done(engine, engine._supervisor.how, Wish("x"))
            await engine.open_stream(Wish("x"))
            with pytest.raises(Busy):
                await engine.take_upload(never(), "video")
            with pytest.raises(Busy):
                await engine.continue_job(job.id)
            assert engine.counters["refused_busy"] == 2

    asyncio.run(scene())


@pytest.mark.slow
def test_a_model_process_that_hangs_is_started_again(tiny_model_folder):
    async def scene():
        engine = await Engine.start(tiny_model_folder, Limits(patience_seconds=10), threads=1)
        child = engine._supervisor.child
        assert child is not None
        await asyncio.sleep(11)  # silence is no offence where there is nothing to do
        job = await finished(await engine.submit(Wish(RING, frames=5)))
        assert job.status == "completed"
        child.process.send_signal(signal.SIGSTOP)
        job = await finished(await engine.submit(Wish(RING, frames=5)))
        assert job.status == "failed"
        assert "said nothing for too long" in (job.error or "")
        assert (await finished(await engine.submit(Wish(RING, frames=5)))).status == "completed"
        await engine.close()

    asyncio.run(scene())
