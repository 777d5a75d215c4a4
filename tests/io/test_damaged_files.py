"""A damaged file gives a VideoError, not a crash or a hang, and hardly ever a wrong frame."""

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.io.clips import damaged
from videogen.io import VideoError, read, scan, write_video

PAIRS = ("h264", "h264-fragments", "h264-mkv", "h264-ts", "hevc-open-gop", "av1", "vp9", "mjpeg-avi")


def variants(clean: Path, count: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    original = clean.read_bytes()
    found = 0
    while found < count:
        variant = damaged(original, rng)
        if variant != original:
            found += 1
            yield variant


def outcome(clean: Path, variant: bytes, place: Path) -> str:
    """What becomes of a damaged copy of a clean file, without an index; with one, nothing wrong may come out."""
    known = scan(clean)
    path = place / f"damaged{clean.suffix}"
    path.write_bytes(variant)
    with contextlib.suppress(VideoError):  # a refusal is right; anything that comes out must be what was indexed
        assert np.array_equal(read(path, range(0, 36, 5), known), read(clean, range(0, 36, 5), known))
    try:
        found = scan(path)
    except VideoError:
        return "refused"
    return "unharmed" if found.hashes == known.hashes else "silently wrong"


def counter(clean_clips: dict[str, Path], each: int, seed: int, place: Path) -> Counter[str]:
    return Counter(
        outcome(clean_clips[name], variant, place)
        for name in PAIRS
        for variant in variants(clean_clips[name], each, seed)
    )


def test_a_sample_of_damage(clean_clips: dict[str, Path], tmp_path: Path) -> None:
    counts = counter(clean_clips, 5, 1, tmp_path)
    assert counts["refused"] >= 0.75 * counts.total()


@pytest.mark.slow
def test_at_most_nine_percent_are_silently_wrong(clean_clips: dict[str, Path], tmp_path: Path) -> None:
    counts = counter(clean_clips, 48, 2, tmp_path)
    print(dict(counts))
    assert counts.total() >= 300
    assert counts["silently wrong"] <= 0.09 * counts.total()


@pytest.mark.parametrize("name", ["h264", "h264-mkv", "h264-ts", "mjpeg-avi", "gif"])
def test_a_file_that_was_cut_off_is_refused(name: str, clean_clips: dict[str, Path], tmp_path: Path) -> None:
    whole = clean_clips[name].read_bytes()
    path = tmp_path / clean_clips[name].name
    for length in np.random.default_rng(3).integers(1, len(whole) - 1, size=6):
        path.write_bytes(whole[: int(length)])
        with pytest.raises(VideoError):
            scan(path)


def test_a_download_that_ended_early_is_no_other_kind_of_file(clean_clips: dict[str, Path], tmp_path: Path) -> None:
    """The table of its frames comes last, or is cut itself: nothing can be opened, but the boxes say why."""
    write_video(tmp_path / "ours.mp4", np.zeros((20, 32, 48, 3), np.uint8), 8.0)
    ours, theirs = (tmp_path / "ours.mp4").read_bytes(), clean_clips["h264"].read_bytes()
    for whole, length in ((ours, ours.index(b"moov") + 30), (ours, len(ours) - 50), (theirs, len(theirs) // 2)):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(whole[:length])
        with pytest.raises(VideoError, match=r"the box at byte \d+") as caught:
            scan(cut)
        assert caught.value.kind == "truncated"
    (tmp_path / "cut.gif").write_bytes(clean_clips["gif"].read_bytes()[:11])
    with pytest.raises(VideoError) as caught:
        scan(tmp_path / "cut.gif")
    assert caught.value.kind == "truncated"


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("just words\n" * 50)
    (tmp_path / "playlist.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile other.mp4\n")
    (tmp_path / "session.sdp").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n")
    (tmp_path / "dash.mpd").write_text('<?xml version="1.0"?><MPD></MPD>')
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(VideoError) as caught:
            scan(path)
        assert caught.value.kind in ("format", "empty", "not-a-file", "no-video", "corrupt"), str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["http://127.0.0.1:9/x.mp4", "file:x.mp4", "concat:a.mp4|b.mp4", "rtsp://127.0.0.1/x", "pipe:0", "data:video,x"],
)
def test_a_scheme_is_refused_before_anything_is_opened(path: str) -> None:
    with pytest.raises(VideoError) as caught:
        scan(Path(path))
    assert caught.value.kind == "scheme"


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from videogen.io import VideoError, scan\n"
        "os.mkfifo(sys.argv[1])\n"
        "for path in (sys.argv[1], '/dev/zero', '/dev/null'):\n"
        "    try: scan(Path(path))\n"
        "    except VideoError as error: print(error.kind)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pipe.mp4")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)  # a hang is the failure meant here
    assert result.stdout.split() == ["not-a-file"] * 3


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        scan(tmp_path / "none.mp4")
    assert caught.value.kind == "missing"
