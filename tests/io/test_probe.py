"""The end of a clip without decoding the rest has the same frames as in a full read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.io.clips import BY_NAME
from videogen.io import VideoError, fit, probe, read, read_along, scan
from videogen.io.reader import probe as probe_module
from videogen.io.reader import random_access, strict

WHOLE = ("vp8", "mpeg4-avi", "gif")  # hidden frames, and transparency: seen only when they are decoded


@pytest.mark.parametrize("name", BY_NAME)
def test_packets_say_what_a_scan_says(name: str, clean_clips: dict[str, Path]) -> None:
    path = clean_clips[name]
    seen, told = scan(path), probe(path)
    assert replace(seen, hashes=told.hashes) == told
    assert bool(told.hashes) == (name in WHOLE)
    end = list(range(23, 36))
    assert np.array_equal(np.stack(list(read_along(path, end, told))), read(path, end))


def test_only_the_last_group_is_decoded(clean_clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, shown, decoded = clean_clips["h264"], [], []
    time_of, displayed = strict.time_of, strict.displayed
    for module in (probe_module, random_access, strict):
        monkeypatch.setattr(module, "time_of", lambda frame: decoded.append(frame.pts) or time_of(frame))
    monkeypatch.setattr(strict, "displayed", lambda frame: shown.append(frame.pts) or displayed(frame))
    told = probe(path)
    assert len(decoded) == 1
    list(read_along(path, range(30, 36), told))
    assert len(decoded) == 1 + 12, "from the key frame on"
    assert len(shown) == 6, "and only what is wanted becomes RGB"


def test_damage_is_found_where_it_is_read(clean_clips: dict[str, Path], tmp_path: Path) -> None:
    whole = clean_clips["h264"].read_bytes()
    start, end = whole.index(b"mdat"), whole.index(b"moov")
    late, early = bytearray(whole), bytearray(whole)
    late[end - 600 : end - 300] = bytes(300)
    early[start + 2000 : start + 2300] = bytes(300)
    (tmp_path / "late.mp4").write_bytes(late)
    (tmp_path / "early.mp4").write_bytes(early)
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    for path in (tmp_path / "late.mp4", tmp_path / "early.mp4"):
        with pytest.raises(VideoError):
            scan(path)
    with pytest.raises(VideoError) as caught:
        list(read_along(tmp_path / "late.mp4", range(24, 36), probe(tmp_path / "late.mp4")))
    assert caught.value.kind == "corrupt"
    told = probe(tmp_path / "early.mp4")
    assert np.array_equal(
        np.stack(list(read_along(tmp_path / "early.mp4", range(24, 36), told))),
        read(clean_clips["h264"], range(24, 36)),
    )
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / "cut.mp4")
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_frames_are_scaled_as_they_come(backend: str, clean_clips: dict[str, Path]) -> None:
    path, wanted = clean_clips["h264"], [30, 2, 2, 17]
    for seen in (None, scan(path)):
        assert np.array_equal(read(path, wanted, seen, backend, (16, 24)), fit(read(path, wanted), 16, 24))  # type: ignore[arg-type]


def test_transparent_pixels_become_black_and_are_counted(tmp_path: Path) -> None:
    discs = [Image.new("RGBA", (24, 16), (255, 255, 255, 0)) for _ in range(3)]
    for number, disc in enumerate(discs):
        disc.paste((200, 30, 40, 255), (4 * number, 4, 4 * number + 6, 10))
    discs.append(Image.new("RGBA", (24, 16), (9, 200, 9, 255)))
    discs[0].save(tmp_path / "a.gif", save_all=True, append_images=discs[1:], disposal=2, duration=100)
    seen = scan(tmp_path / "a.gif")
    assert seen.transparent_frames == 3
    pictures = read(tmp_path / "a.gif", range(4), seen)
    for number in range(3):
        inside = np.asarray(discs[number])[..., 3] > 0
        assert np.array_equal(pictures[number], np.where(inside[..., None], np.asarray(discs[number])[..., :3], 0))
    assert np.array_equal(pictures[3], np.asarray(discs[3])[..., :3])
