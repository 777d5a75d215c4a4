"""No clean file is refused, and every frame is the one that was asked for."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.io.clips import BY_NAME, KINDS, make, number_in, sound_only, ticks
from videogen.io import ReadLimits, Scan, Span, VideoError, choose_backend, read, scan, stream

FRAMES = 36


def upright(name: str, picture: np.ndarray) -> np.ndarray:
    return np.rot90(picture, 1) if BY_NAME[name].rotated else picture


@pytest.mark.parametrize("name", BY_NAME)
def test_a_clean_file_is_read_whole(name: str, clean_clips: dict[str, Path]) -> None:
    seen = scan(clean_clips[name])
    height, width = BY_NAME[name].size
    assert (seen.height, seen.width) == ((width, height) if BY_NAME[name].rotated else (height, width))
    assert seen.rotation == (270 if BY_NAME[name].rotated else 0)
    pictures = [picture for _, picture in stream(clean_clips[name])]
    assert [number_in(upright(name, picture)) for picture in pictures] == list(range(FRAMES))


@pytest.mark.parametrize("name", BY_NAME)
def test_random_reads_give_the_frames_asked_for(name: str, clean_clips: dict[str, Path]) -> None:
    path = clean_clips[name]
    seen = scan(path)
    backend = choose_backend(path, seen)
    rng = np.random.default_rng(len(name))
    for _ in range(3):
        wanted = rng.integers(0, FRAMES, size=4).tolist()
        assert [number_in(upright(name, picture)) for picture in read(path, wanted, seen, backend)] == wanted
        assert np.array_equal(read(path, wanted, seen, "pyav"), read(path, wanted))


@pytest.mark.slow
def test_two_thousand_random_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for kind in [BY_NAME[name] for name in ("h264", "h264-fragments", "h264-mkv", "h264-ts", "hevc-open-gop")] + [
        BY_NAME[name] for name in ("hevc-ts", "vp8", "vp9", "av1", "mpeg4-avi", "mpeg2-ts", "ffv1", "h264-variable")
    ]:
        path = make(kind, tmp_path, frames=240)
        seen = scan(path)
        backend = choose_backend(path, seen)
        for _ in range(10):
            wanted = rng.integers(0, 240, size=16).tolist()
            assert [number_in(picture) for picture in read(path, wanted, seen, backend)] == wanted


def test_variable_frame_rates_keep_their_times(clean_clips: dict[str, Path]) -> None:
    seen = scan(clean_clips["h264-variable"])
    written = np.array([tick for tick, _ in zip(ticks(True), range(FRAMES), strict=False)]) / 240
    assert np.abs(seen.seconds - written).max() < 1e-3


def test_a_scan_survives_json(clean_clips: dict[str, Path]) -> None:
    seen = scan(clean_clips["h264"])
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in json.loads(json.dumps(asdict(seen))).items()
    }
    assert Scan(**values) == seen


def test_a_span_of_another_file_is_a_video(clean_clips: dict[str, Path], tmp_path: Path) -> None:
    video = clean_clips["h264"].read_bytes()
    archive = tmp_path / "some.tar"
    archive.write_bytes(b"x" * 777 + video + b"y" * 99)
    span = Span(archive, 777, len(video), "clip.mp4")
    assert scan(span) == scan(clean_clips["h264"])
    assert np.array_equal(read(span, [30, 2], scan(span)), read(clean_clips["h264"], [30, 2]))
    with pytest.raises(VideoError, match="outside its archive"):
        scan(Span(archive, 777, 10**9, "clip.mp4"))


def test_sound_without_pictures_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        scan(sound_only(tmp_path))
    assert caught.value.kind == "no-video"


def test_a_file_that_changed_is_noticed_where_it_changed(clean_clips: dict[str, Path]) -> None:
    path = clean_clips["mjpeg-avi"]
    seen = scan(path)
    other = replace(seen, hashes=(*seen.hashes[:20], "0" * 16, *seen.hashes[21:]))
    assert [number_in(picture) for picture in read(path, [19, 21], other)] == [19, 21]
    for backend in ("pyav", "decord"):
        with pytest.raises(VideoError) as caught:
            read(path, [19, 20, 21], other, backend)
        assert caught.value.kind == "changed"
        assert "frame 20" in str(caught.value)


@pytest.mark.parametrize("numbers", [[-1], [36], [0, 99]])
def test_frames_that_are_not_there(numbers: list[int], clean_clips: dict[str, Path]) -> None:
    for known in (None, scan(clean_clips["h264"])):
        with pytest.raises(VideoError) as caught:
            read(clean_clips["h264"], numbers, known)
        assert caught.value.kind == "range"


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (ReadLimits(max_bytes=1000), "too-large"),
        (ReadLimits(max_pixels=48 * 96 - 1), "too-large"),
        (ReadLimits(max_frames=35), "too-long"),
        (ReadLimits(max_seconds=1.0), "too-long"),
    ],
)
def test_limits_are_kept(limits: ReadLimits, kind: str, clean_clips: dict[str, Path]) -> None:
    with pytest.raises(VideoError) as caught:
        scan(clean_clips["h264"], limits)
    assert caught.value.kind == kind


def test_enough_kinds() -> None:
    assert len(KINDS) >= 20
