"""Changes since the indexing are reported, and a contact sheet can be drawn."""

import os
from pathlib import Path

from tests.data.conftest import MakeClip, MakeSet
from videogen.data import build_index, check_files, describe, draw_sheet, summarize


def test_an_untouched_set_has_no_changes(tmp_path: Path, make_set: MakeSet) -> None:
    index = build_index(make_set(tmp_path, clips=3))
    assert check_files(index) == []
    calls: list[tuple[int, int]] = []
    assert check_files(index, full=True, on_progress=lambda done, total: calls.append((done, total))) == []
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_every_change_is_listed(tmp_path: Path, make_set: MakeSet, make_clip: MakeClip) -> None:
    data = make_set(tmp_path, clips=5)
    index = build_index(data)
    os.utime(data / "clip_000.mp4", ns=(0, 0))
    (data / "clip_001.mp4").unlink()
    (data / "clip_002.txt").write_text("another caption")
    make_clip(data / "new.mp4")
    changes = check_files(index)
    assert [(change["key"], change["kind"]) for change in changes] == [
        ("clip_000.mp4", "changed"),
        ("clip_001.mp4", "missing"),
        ("clip_001.mp4", "removed"),
        ("clip_002.mp4", "changed"),
        ("new.mp4", "new"),
    ]
    text = describe({**summarize(index), "changed": changes})
    assert "clip_002.mp4: its caption" in text
    assert f"run `videogen data index {data}` again" in text


def test_only_a_full_check_sees_other_frames_under_the_same_stamp(
    tmp_path: Path, make_set: MakeSet, make_clip: MakeClip
) -> None:
    data = make_set(tmp_path / "set", clips=2)
    index = build_index(data)
    victim = data / "clip_000.mp4"
    times = victim.stat()
    raw = make_clip(tmp_path / "other.mp4", seed=9).read_bytes()
    victim.write_bytes(raw[: times.st_size].ljust(times.st_size, b"\0"))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert check_files(index) == []
    assert [change["key"] for change in check_files(index, full=True)] == ["clip_000.mp4"]


def test_a_sheet_shows_clips_from_all_over_the_set(tmp_path: Path, make_set: MakeSet) -> None:
    index = build_index(make_set(tmp_path, clips=5))
    three, all_of_them = draw_sheet(index, 3, columns=4), draw_sheet(index, 50, columns=4)
    assert three.width == all_of_them.width >= 4 * 96
    assert all_of_them.height > three.height >= 3 * 64
