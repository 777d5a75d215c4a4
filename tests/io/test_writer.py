"""Files are readable after a kill and have the same bytes for the same frames."""

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.io.clips import number_in, numbered_frame
from videogen.io import (
    OutputFormat,
    VideoError,
    VideoWriter,
    read,
    read_metadata,
    read_tags,
    scan,
    stream,
    write_video,
)

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")
METADATA = {"prompt": "ein\n grüner Ring", "seed": 3, "settings": {"steps": 8, "top_p": 1.0}, "long": "x" * 700}


def clip(count: int, height: int = 48, width: int = 96) -> np.ndarray:
    return np.stack([numbered_frame(number, height, width) for number in range(count)])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_is_read_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    with VideoWriter(path, 8, 48, 96) as writer:
        writer.write(clip(20)[:7])
        for picture in clip(20)[7:]:
            writer.write(picture)
    assert [number_in(picture) for _, picture in stream(path)] == list(range(20))
    assert scan(path).fps == pytest.approx(8, rel=0.01)
    pictures = np.stack([picture for _, picture in stream(path)])
    assert np.abs(pictures.astype(int) - clip(20)).mean() < 12


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_slower_than_any_rate_that_files_know_is_the_slowest(suffix: str, tmp_path: Path) -> None:
    write_video(tmp_path / f"clip{suffix}", clip(2), 0.0004)
    assert [number_in(picture) for _, picture in stream(tmp_path / f"clip{suffix}")] == [0, 1]


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for suffix in SUFFIXES:
            write_video(tmp_path / f"{name}{suffix}", clip(9), 8, metadata=METADATA)
        write_video(tmp_path / name, clip(2), 8, metadata=METADATA)
        time.sleep(1.1)  # a date inside would differ
    for suffix in (*SUFFIXES, "/frame_000000.png"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [*SUFFIXES, ""])
def test_metadata_come_back_and_change_no_pixel(suffix: str, tmp_path: Path) -> None:
    plain, told = tmp_path / f"plain{suffix}", tmp_path / f"told{suffix}"
    write_video(plain, clip(9), 8)
    write_video(told, clip(9), 8, metadata=METADATA)
    assert read_metadata(told) == METADATA
    assert read_metadata(plain) == {}
    if suffix == "":
        assert len(list(told.iterdir())) == 9
        assert all(
            np.array_equal(np.asarray(Image.open(told / one.name)), np.asarray(Image.open(one)))
            for one in plain.iterdir()
        )
        return
    assert scan(told) == scan(plain)
    if suffix != ".gif":
        assert read_tags(told)["title"] == "ein  grüner Ring"


def test_a_comment_of_somebody_else_is_no_metadata(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif", comment=b"made by hand")
    assert read_metadata(tmp_path / "a.gif") == {}
    assert read_tags(tmp_path / "a.gif") == {"comment": "made by hand"}
    with pytest.raises(VideoError):
        read_metadata(tmp_path / "none.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_a_file_plays_while_it_is_written(suffix: str, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / f"whole{suffix}", 8, 48, 96, metadata=METADATA) as writer:
        writer.write(clip(30))
        (tmp_path / f"part{suffix}").write_bytes((tmp_path / f"whole{suffix}").read_bytes())
    with av.open(str(tmp_path / f"part{suffix}")) as container:
        numbers = [number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= (20 if suffix in (".mkv", ".webm") else 28)  # they keep a cluster of a second back
    assert read_metadata(tmp_path / f"part{suffix}") == METADATA


@pytest.mark.parametrize(("fps", "numbers"), [(24, [0, 0, 0, 1, 1, 1, 2, 2, 2]), (12, [0, 0, 1, 2, 2]), (4, [0, 2])])
def test_another_rate_keeps_the_speed(fps: float, numbers: list[int], tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 8, 48, 96, output=OutputFormat(fps=fps)) as writer:
        for picture in clip(3):
            writer.write(picture)
        assert writer.written == len(numbers)
    seen = scan(tmp_path / "clip.mp4")
    assert [number_in(picture) for _, picture in stream(tmp_path / "clip.mp4")] == numbers
    assert seen.fps == pytest.approx(fps)


def test_rates_that_are_no_whole_multiples_stay_in_step(tmp_path: Path) -> None:
    output = OutputFormat(fps=30000 / 1001)
    for count in (1, 8, 80):
        with VideoWriter(tmp_path / "frames", 8, 4, 6, output=output) as writer:
            writer.write(np.zeros((count, 4, 6, 3), np.uint8))
        assert abs(writer.written / output.rate(8) - count / 8) < 1 / 29


@pytest.mark.parametrize(
    ("scale", "size"), [(4, (192, 384)), (0.5, (24, 48)), ((100, 50), (100, 50)), (None, (48, 96))]
)
def test_another_size(scale: float | tuple[int, int] | None, size: tuple[int, int], tmp_path: Path) -> None:
    for resampling, filter in (("nearest", Image.Resampling.NEAREST), ("lanczos", Image.Resampling.LANCZOS)):
        output = OutputFormat(scale=scale, resampling=resampling)  # type: ignore[arg-type]
        write_video(tmp_path / resampling, clip(1), 8, output)
        expected = Image.fromarray(clip(1)[0]).resize((size[1], size[0]), filter)
        assert np.array_equal(np.asarray(Image.open(tmp_path / resampling / "frame_000000.png")), np.asarray(expected))


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": float("nan")}, {"scale": 0}, {"scale": (0, 9)}, {"scale": -1}])
def test_what_is_no_format_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} "):
        OutputFormat(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("colors", [1, 2, 21, 80, 247, 256])
def test_a_gif_has_no_holes_and_no_wrong_pixels(colors: int, tmp_path: Path) -> None:
    """Readers that respect disposal and transparency see each frame of few colors exactly, and opaque."""
    rng = np.random.default_rng(colors)
    palette = rng.integers(0, 256, (colors, 3), dtype=np.uint8)
    shown = rng.integers(0, colors, (37, 29))
    frames = []
    for share in (0.1, 0.5, 0.02, 0.9, 0.3, 0.1, 0.6, 0.01):  # of the pixels that change
        shown = np.where(rng.random(shown.shape) < share, rng.integers(0, colors, shown.shape), shown)
        frames.append(palette[shown])
    write_video(tmp_path / "clip.gif", np.stack(frames), 8)
    opaque = np.insert(np.stack(frames), 3, 255, axis=-1)
    with av.open(str(tmp_path / "clip.gif")) as container:
        decoded = [frame.to_ndarray(format="rgba") for frame in container.decode(video=0)]
    assert np.array_equal(np.stack(decoded), opaque)
    with Image.open(tmp_path / "clip.gif") as image:
        composed = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    assert np.array_equal(np.stack(composed), opaque)


def test_a_folder_of_pngs_loses_nothing(tmp_path: Path) -> None:
    write_video(tmp_path / "frames", clip(3), 8)
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == ["frame_000000.png", "frame_000001.png", "frame_000002.png"]
    assert np.array_equal(np.stack([np.asarray(Image.open(file)) for file in files]), clip(3))


def test_raw_frames_to_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", pipe)
    write_video("-", clip(2), 8)
    assert isinstance(pipe.buffer, io.BytesIO)
    assert pipe.buffer.getvalue() == clip(2).tobytes()


def test_odd_sizes_in_mp4_repeat_the_edge(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", clip(4, 49, 97), 8)
    seen = scan(tmp_path / "odd.mp4")
    assert (seen.height, seen.width) == (50, 98)
    assert [number_in(picture) for picture in read(tmp_path / "odd.mp4", range(4))] == list(range(4))


def test_a_killed_writer_leaves_a_file_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"
    program = (
        "import sys, time, numpy as np; from tests.io.clips import numbered_frame\n"
        "from videogen.io import VideoWriter\n"
        "writer = VideoWriter(sys.argv[1], 8, 48, 96)\n"
        "for number in range(30): writer.write(numbered_frame(number, 48, 96))\n"
        "print('written', flush=True); time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    numbers = [number_in(picture) for _, picture in stream(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 28  # the muxer holds a frame back until the next one comes


@pytest.mark.parametrize(
    ("path", "fps", "height", "width"),
    [("x.xyz", 8, 48, 96), ("x.mp4", 0, 48, 96), ("x.mp4", 8, 0, 96), ("missing/x.mp4", 8, 48, 96)],
)
def test_what_cannot_be_written_is_said_at_once(path: str, fps: float, height: int, width: int, tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        VideoWriter(tmp_path / path, fps, height, width)
    assert caught.value.kind == "encoder"


def test_frames_of_another_size_are_refused_and_the_file_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 8, 48, 96) as writer:
        writer.write(clip(5))
        with pytest.raises(VideoError) as caught:
            writer.write(clip(1, 48, 98))
        assert caught.value.kind == "encoder"
    assert len(scan(path).pts) == 5
