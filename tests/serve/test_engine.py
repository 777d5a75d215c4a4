import asyncio
import subprocess
import sys
from dataclasses import asdict
from itertools import islice

import numpy as np
import pytest

from tests.serve.scenes import RING, STAR, finished, pieces_of, until
from videogen.io import read_metadata, scan
from videogen.pipeline import VideoPipeline
from videogen.serve.errors import BusyError, InvalidParamError, NotFoundError
from videogen.serve.media.mp4 import FragmentEncoder, mux_mp4
from videogen.serve.requests import GenerationParams, InitialFrames


def watched(data, tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    return scan(path)


def test_web_process_imports_no_torch():
    program = "import sys, videogen.serve.engine.engine, videogen.serve.http.app; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_model_info(home, tiny_model_folder):
    pipe, info = VideoPipeline.from_pretrained(tiny_model_folder), home.engine.info
    assert (info.fps, info.height, info.width, info.frames_per_latent) == (8.0, 16, 24, 4)
    assert info.default_frames == pipe.frame_count(None)
    assert info.name == "tiny"
    assert info.text_conditioned
    assert info.sampler["order"] == "halton"
    assert info.examples
    assert home.engine.healthy()


def test_job_equals_pipeline(home, tiny_model_folder, tmp_path):
    job = home.run(finished_job(home.engine, GenerationParams(RING, seed=3, frames=13)))
    assert (job.status, job.progress, job.error) == ("completed", 100, None)
    looked = scan(job.content())
    assert (len(looked.pts), looked.fps, looked.height, looked.width) == (13, 8.0, 16, 24)
    pipe = VideoPipeline.from_pretrained(tiny_model_folder)
    expected = np.stack(list(islice(pipe.stream(RING, generator=3), 13)))
    encoder = FragmentEncoder(8, 16, 24)
    pieces = [encoder.encode(expected[begin:end]) for begin, end in ((0, 1), (1, 5), (5, 9), (9, 13))]
    encoder.close()
    made_with = read_metadata(job.content())
    assert job.content().read_bytes() == mux_mp4(encoder.format, pieces, made_with)
    assert made_with == {
        "prompt": RING, "seed": 3, "model": home.engine.info.name, "fingerprint": pipe.model.fingerprint,
        "settings": asdict(pipe.sampler),
    }  # fmt: skip
    assert home.engine.jobs()[0] is job
    home.run(home.engine.delete(job.id))
    with pytest.raises(NotFoundError):
        home.engine.job(job.id)
    with pytest.raises(NotFoundError):
        home.run(home.engine.delete(job.id))


async def finished_job(engine, params):
    return await finished(await engine.submit(params))


def test_same_request_gives_same_bytes(home):
    first, second = (home.run(finished_job(home.engine, GenerationParams(RING, seed=5))) for _ in range(2))
    assert first.content().read_bytes() == second.content().read_bytes()
    assert first.id != second.id
    assert len(first.id) == 32


def test_job_continues_another_job(home):
    async def scene():
        first = await finished_job(home.engine, GenerationParams(RING, seed=1, frames=17))
        initial_frames = await home.engine.continue_job(first.id)
        assert (initial_frames.kind, initial_frames.count) == ("video", home.engine.info.frames_of_use)
        second = await finished_job(
            home.engine, GenerationParams(RING, seed=1, frames=8, initial_frames=initial_frames)
        )
        assert second.status == "completed"
        picture = InitialFrames("image", bytes(16 * 24 * 3), 1)
        third = await finished_job(home.engine, GenerationParams(RING, seed=1, frames=9, initial_frames=picture))
        assert len(scan(third.content()).pts) == 9

    home.run(scene())


def test_viewers_share_one_encoding(home, tmp_path):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING, seed=2, frames=21))
        assert stream.mime == home.engine.info.mime
        early = await asyncio.gather(*(pieces_of(stream) for _ in range(5)))
        assert all(pieces == early[0] for pieces in early)
        assert stream.status == "stopped"
        late = await pieces_of(stream)
        assert b"".join(late) == b"".join(early[0])
        return early[0], await stream.recent_video(), await stream.recent_video(0.5)

    pieces, whole, end = home.run(scene())
    live = watched(b"".join(pieces), tmp_path)
    assert len(live.pts) == 21
    assert watched(whole, tmp_path).hashes == live.hashes
    last = watched(end, tmp_path)
    assert 4 <= len(last.pts) < 21
    assert last.hashes == live.hashes[-len(last.pts) :]


def test_preview_events(home):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING, seed=2, frames=21))
        async with stream.watch_preview() as previews:
            return [preview async for preview in previews], stream

    seen, stream = home.run(scene())
    kinds = [preview.kind for preview in seen]
    assert kinds[-1] == "end"
    assert seen[-1].data == {"status": "stopped", "error": None}
    assert [preview.number for preview in seen if preview.kind == "frame"] == list(range(21))
    assert all(preview.jpeg[:2] == b"\xff\xd8" for preview in seen if preview.kind == "frame")
    masks = [preview for preview in seen if preview.kind == "mask"]
    assert masks
    assert all(len(mask.data["decided"]) == mask.data["height"] * mask.data["width"] == 6 for mask in masks)
    assert [preview.data["prompt"] for preview in seen if preview.kind == "mark"] == [RING]
    assert stream.stats["frames"] == 21
    assert stream.stats["seconds_to_first_frame"] > 0


def test_first_preview_viewer_gets_early_frames(home):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING, seed=2, frames=9))
        await until(lambda: stream.ended is not None)
        found = []
        for _ in range(2):
            async with stream.watch_preview() as previews:
                found.append([preview async for preview in previews])
        return found

    first, second = home.run(scene())
    assert [preview.number for preview in first if preview.kind == "frame"] == list(range(9))
    assert [preview.kind for preview in first][-1] == "end"
    assert not [preview for preview in second if preview.kind == "frame"]


def test_prompt_change_sets_a_mark(home):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING, seed=2))
        async with stream.watch_video() as video:
            await anext(video)
            await anext(video)
            await stream.change(STAR)
            await until(lambda: len(stream.marks) == 2)
        async with stream.watch_preview() as previews:
            marks = [(await anext(previews)).data for _ in range(2)]
        await stream.stop()
        return stream, marks

    stream, marks = home.run(scene())
    (first, one, _), (second, two, _) = stream.marks
    assert (first, one, two) == (0, RING, STAR)
    assert second % 4 == 1
    assert [mark["prompt"] for mark in marks] == [RING, STAR]
    assert marks[1]["seconds"] == second / 8
    assert stream.prompt == STAR


def test_stopped_stream_refuses_changes(home):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING))
        await stream.stop()
        await stream.stop()
        assert stream.status == "stopped"
        with pytest.raises(NotFoundError):
            await stream.change(STAR)
        with pytest.raises(BusyError):
            await stream.recent_video()
        assert await pieces_of(stream) == [stream.context.format.header]

    home.run(scene())


def test_stream_pauses_without_viewers_and_resumes(home):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING, seed=4))
        assert stream.status == "playing"
        await pieces_of(stream, 3)
        assert stream.status == "paused"
        await asyncio.sleep(0.3)  # what was on its way has come
        made = stream.frames_made
        await asyncio.sleep(1.2)  # longer than a stream is made ahead
        assert stream.frames_made == made
        async with stream.watch_video() as video:
            assert stream.status == "playing"
            await anext(video)
            await until(lambda: stream.frames_made > made)
        await stream.stop()

    home.run(scene())


def test_client_can_pause_and_resume(home):
    async def scene():
        stream = await home.engine.open_stream(GenerationParams(RING, seed=4))
        async with stream.watch_video() as video:
            await anext(video)
            await stream.change(paused=True)
            assert stream.status == "paused"
            await asyncio.sleep(0.3)
            made = stream.frames_made
            await asyncio.sleep(0.5)
            assert stream.frames_made == made
            await stream.change(paused=False)
            await until(lambda: stream.frames_made > made)
        await stream.stop()

    home.run(scene())


def test_queue_and_admission_limit(home):
    async def scene():
        engine = home.engine
        streams = [await engine.open_stream(GenerationParams(RING, seed=number)) for number in range(5)]
        assert [stream.status for stream in streams] == ["playing"] * 2 + ["queued"] * 3
        assert [stream.queue_position for stream in streams] == [None, None, 1, 2, 3]
        assert engine.counters["queue_length"] == 3
        for asked in (engine.open_stream, engine.submit):
            with pytest.raises(BusyError) as caught:
                await asked(GenerationParams(RING))
            assert caught.value.retry_after > 0
        await streams[0].change(paused=True)  # leaves the line: the next one takes its place
        assert [stream.status for stream in streams] == ["paused", "playing", "playing", "queued", "queued"]
        await streams[0].change(paused=False)  # and stands at its end when it comes back
        assert [stream.queue_position for stream in streams] == [3, None, None, 1, 2]
        await streams[1].stop()
        await streams[2].stop()
        assert [stream.status for stream in streams[3:]] == ["playing", "playing"]
        for stream in streams:
            await engine.delete(stream.id)
        with pytest.raises(NotFoundError):
            engine.stream(streams[0].id)
        assert engine.counters["queue_length"] == engine.counters["streams_open"] == 0

    home.run(scene())


def test_queued_job_runs_later(home):
    async def scene():
        streams = [await home.engine.open_stream(GenerationParams(RING, seed=number)) for number in range(2)]
        job = await home.engine.submit(GenerationParams(STAR, seed=1))
        assert (job.status, job.queue_position, job.progress) == ("queued", 1, 0)
        with pytest.raises(NotFoundError):
            job.content()
        for stream in streams:
            await stream.stop()
        assert (await finished(job)).status == "completed"

    home.run(scene())


def test_invalid_requests_are_refused_at_once(home):
    async def scene():
        with pytest.raises(InvalidParamError) as caught:
            await home.engine.submit(GenerationParams(RING, frames=10**6))
        assert caught.value.param == "frames"
        with pytest.raises(InvalidParamError):
            await home.engine.open_stream(GenerationParams("x" * 201))
        stream = await home.engine.open_stream(GenerationParams(RING))
        with pytest.raises(InvalidParamError):
            await stream.change("x" * 201)
        with pytest.raises(InvalidParamError):
            await stream.change(transition="fade")  # type: ignore[arg-type]
        await stream.stop()

    home.run(scene())
