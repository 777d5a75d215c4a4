"""An AVI whose header counts one frame too many is accepted if its index lists the frames that are there."""

import struct
from pathlib import Path

import pytest

from videogen.data import build_index, check_files, describe, load_index, summarize
from videogen.io import VideoError, read, scan


def promising(clean: Path, place: Path, more: int, raw: bytes | None = None) -> Path:
    """A copy of an AVI whose header promises so many frames more."""
    promised = bytearray(clean.read_bytes() if raw is None else raw)
    for name, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = promised.index(name) + offset
        struct.pack_into("<I", promised, at, struct.unpack_from("<I", promised, at)[0] + more)
    place.write_bytes(promised)
    return place


@pytest.mark.parametrize("name", ["mpeg4-avi", "mjpeg-avi"])
def test_one_frame_fewer_is_used_and_written_down(name: str, clean_clips: dict[str, Path], tmp_path: Path) -> None:
    path = promising(clean_clips[name], tmp_path / "b.avi", 1)
    seen, clean = scan(path), scan(clean_clips[name])
    assert (seen.missing_frames, clean.missing_frames) == (1, 0)
    assert (seen.pts, seen.hashes) == (clean.pts, clean.hashes)
    assert len(read(path, range(36))) == 36
    build_index(tmp_path, workers=1)
    index = load_index(tmp_path)
    assert index.good[0].scan == seen
    assert check_files(index, full=True) == []
    assert summarize(index)["one_frame_fewer"] == {"count": 1, "example": "b.avi"}
    assert "1 with one frame fewer than the header promises (used as they are), such as b.avi" in describe(
        summarize(index)
    )


@pytest.mark.parametrize("more", [2, 36, -1])
def test_any_other_number_is_refused(more: int, clean_clips: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        scan(promising(clean_clips["mjpeg-avi"], tmp_path / "b.avi", more))
    assert caught.value.kind == "truncated"
    assert str(caught.value).endswith(f"36 of the {36 + more} frames that its header promises (truncated)")


def test_a_frame_that_the_index_lists_must_be_there(clean_clips: dict[str, Path], tmp_path: Path) -> None:
    whole = clean_clips["mjpeg-avi"].read_bytes()
    last, index = whole.rindex(b"00dc", 0, whole.index(b"idx1")), whole.index(b"idx1")
    without = bytearray(whole[:last] + whole[index:])  # the last frame is lost, its entry in the index is not
    struct.pack_into("<I", without, 4, len(without) - 8)
    for raw in (bytes(without), bytes(without[:last])):  # or the whole index is lost with it
        patched = bytearray(raw)
        struct.pack_into("<I", patched, 4, len(patched) - 8)
        (tmp_path / "lost.avi").write_bytes(patched)
        with pytest.raises(VideoError):
            scan(tmp_path / "lost.avi")
