import asyncio
import errno
import io
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.io.clips import BY_NAME, make, number_in
from tests.serve.probes import TEXTS, damage, picture_of, probes
from tests.serve.scenes import descriptors
from tests.serve.test_validation import MASKED
from videogen.io import VideoError, scan
from videogen.serve.child_process import ChildProcess
from videogen.serve.errors import BusyError, UploadError, UploadTooLargeError
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import UploadRejected
from videogen.serve.requests import InitialFrames
from videogen.serve.uploads.reader import ReadTask, read_upload
from videogen.serve.uploads.receiver import UploadReceiver

INFO = replace(MASKED, height=48, width=96, fps=8.0, frames_of_use=5)
LIMITS = ServerLimits(upload_bytes=2**22, upload_memory=2**30)


def uploads(**limits):
    return UploadReceiver(INFO, replace(LIMITS, **limits), {"uploads_taken": 0, "uploads_refused": 0})


async def chunks(data, size=60_000):
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def sent(data, kind="video", **limits):
    return asyncio.run(uploads(**limits).receive(chunks(data), kind))


def read_here(data, kind, tmp_path):
    """Run the reader in this process, without its limits."""
    path = tmp_path / "upload"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        bounds = (LIMITS.upload_memory, LIMITS.upload_pixels, LIMITS.upload_frames)
        return read_upload(
            descriptor, ReadTask(kind, INFO.fps, INFO.height, INFO.width, INFO.frames_of_use, 9, *bounds)
        )
    finally:
        os.close(descriptor)


def pictures_of(initial_frames):
    return np.frombuffer(initial_frames.pixels, np.uint8).reshape(initial_frames.count, INFO.height, INFO.width, 3)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(BY_NAME["h264"], tmp_path_factory.mktemp("clip")).read_bytes()


def test_clip_is_resampled_and_resized(clip):
    """36 frames at 24 a second; at 8, counted from the end, the last ones are 35, 32, 29, 26, 23."""
    initial_frames = sent(clip)
    assert [number_in(picture) for picture in pictures_of(initial_frames)] == [23, 26, 29, 32, 35]
    assert (initial_frames.kind, initial_frames.note) == ("video", "as the model sees it, 24 become 8 a second")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_image_is_resized_and_cropped(form):
    initial_frames = sent(picture_of(form, (200, 50)), "image")
    assert (initial_frames.kind, initial_frames.count) == ("image", 1)
    assert initial_frames.note == "as the model sees it, 200 x 50 becomes 96 x 48, edges are cropped"


def test_exif_orientation_is_applied():
    out, lying = io.BytesIO(), np.zeros((96, 48, 3), np.uint8)
    lying[:48] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    Image.fromarray(lying).save(out, "PNG", exif=exif)
    (picture,) = pictures_of(sent(out.getvalue(), "image"))
    assert picture[:, 48:].min() == 255
    assert picture[:, :48].max() == 0


def test_every_probe_is_rejected_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    for name, kind, data in probes(tmp_path):
        said = read_here(data, kind, tmp_path)
        assert isinstance(said, UploadRejected), name
        assert len(said.message) > 10, name
        assert "\n" not in said.message, name
        assert str(tmp_path) not in said.message, name
        assert "/dev/fd" not in said.message, name


@pytest.mark.parametrize("name", ["hls", "sdp", "concat"])
def test_probes_are_rejected_by_the_process(name):
    with pytest.raises(UploadError):
        sent(TEXTS[name].encode())


@pytest.mark.slow
def test_every_probe_is_rejected_by_the_process(tmp_path):
    before = descriptors()
    for name, kind, data in probes(tmp_path):
        with pytest.raises(UploadError) as caught:
            sent(data, kind)
        assert "\n" not in str(caught.value), name
        assert "/dev/fd" not in str(caught.value), name
    assert descriptors() == before


@pytest.mark.slow
def test_damaged_clips_are_rejected_or_complete(tmp_path):
    for number, data in enumerate(damage(tmp_path, 40)):
        place = tmp_path / f"{number}.mp4"
        place.write_bytes(data)
        try:
            scan(place)
        except VideoError:
            with pytest.raises(UploadError):
                sent(data)
        else:
            assert isinstance(sent(data), InitialFrames)


def test_reader_is_limited_in_memory_and_time(clip):
    with pytest.raises(UploadError, match="more memory"):
        sent(clip, upload_memory=2**27)
    with pytest.raises(UploadError, match="memory or time"):
        sent(clip, upload_seconds=0.01)


def test_too_large_upload_is_refused_while_it_arrives():
    arrived = []

    async def endless():
        while True:
            arrived.append(2**20)
            yield bytes(2**20)

    with pytest.raises(UploadTooLargeError, match=str(2**22)):
        asyncio.run(uploads().receive(endless(), "video"))
    assert sum(arrived) <= 2**22 + 2**20
    with pytest.raises(UploadError):
        sent(b"")


def test_slow_upload_times_out():
    async def slow():
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(UploadError, match=r"0\.05"):
        asyncio.run(uploads(receive_seconds=0.05).receive(slow(), "video"))


def test_number_of_open_uploads_is_limited():
    async def scene():
        taking, hold = uploads(uploads=1, waiting_uploads=1), asyncio.Event()

        async def held():
            await hold.wait()
            yield b"no clip"

        waiting = [asyncio.create_task(taking.receive(held(), "video")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as caught:
            await taking.receive(chunks(b"x"), "video")
        assert caught.value.retry_after > 0
        hold.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [UploadError] * 2
        assert taking.totals == {"uploads_taken": 0, "uploads_refused": 2}

    asyncio.run(scene())


def test_own_files_count_as_open_uploads(tmp_path):
    """A hundred continuations of one video do not start a hundred readers."""
    place = tmp_path / "video.mp4"
    place.write_bytes(b"no clip")

    async def scene():
        taking = uploads(uploads=1, waiting_uploads=1)
        results = await asyncio.gather(*(taking.read_file(place, "video") for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [UploadError] * 2 + [BusyError] * 3
        with pytest.raises(UploadError):
            await taking.read_file(place, "video")  # there is room again

    asyncio.run(scene())


def test_failed_start_of_a_reader_is_busy(monkeypatch):
    async def start(*arguments, **options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(ChildProcess, "start", staticmethod(start))
    with pytest.raises(BusyError, match="Too many open files"):
        sent(b"x")


def test_cancelled_upload_leaves_nothing(clip, monkeypatch):
    """The reader's process has started, and its answer never comes before the upload is cancelled."""

    async def scene():
        reading = asyncio.Event()

        async def receive(child, max_payload):
            reading.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(ChildProcess, "receive", receive)
        before = descriptors()
        taking = uploads()
        task = asyncio.create_task(taking.receive(chunks(clip), "video"))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await taking.close()
        assert len(asyncio.all_tasks()) == 1
        assert descriptors() == before

    asyncio.run(scene())
