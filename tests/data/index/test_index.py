"""The index depends on the files alone, not on workers, kills or earlier runs."""

import hashlib
import json
import multiprocessing
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import MakeClip, MakeSet
from videogen.data import Entry, Index, ReadFailure, RefusedClip, build_index, describe, load_index, summarize
from videogen.data.index.jsonl import FileRecord, Stamp, json_line
from videogen.data.index.probe import ProbeTask, record_of
from videogen.errors import DataError
from videogen.executors.base import TIMED_OUT, TaskResult
from videogen.io import ReadLimits

DEFAULT = "videogen-index.jsonl"


def kinds(index: Index) -> dict[str, str]:
    return {refused.key: refused.kind for refused in index.refused}


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=5)
    (data / "broken.mp4").write_bytes((data / "clip_000.mp4").read_bytes()[:-2000])
    made = [build_index(data, out=tmp_path / f"{workers}.jsonl", workers=workers) for workers in (1, 2, 5)]
    assert len({(tmp_path / f"{workers}.jsonl").read_bytes() for workers in (1, 2, 5)}) == 1
    assert len(made[0].good) == 5
    assert set(kinds(made[0])) == {"broken.mp4"}
    assert load_index(data, tmp_path / "1.jsonl") == made[0]


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, make_set: MakeSet, make_clip: MakeClip) -> None:
    data = make_set(tmp_path / "set", clips=3)
    before = build_index(data, workers=1)
    written = (data / DEFAULT).read_bytes()
    victim = data / "clip_001.mp4"
    times = victim.stat()
    victim.write_bytes(bytes(times.st_size))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    calls: list[tuple[int, int]] = []
    assert build_index(data, on_progress=lambda done, total: calls.append((done, total))) == before
    assert calls == [(3, 3)]
    assert (data / DEFAULT).read_bytes() == written

    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    (data / "clip_002.mp4").unlink()
    make_clip(data / "clip_003.mp4", seed=3)
    after = build_index(data, workers=1)
    assert set(kinds(after)) == {"clip_001.mp4"}
    assert [clip.entry.key for clip in after.good] == ["clip_000.mp4", "clip_003.mp4"]


def test_a_moved_set_keeps_its_index(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=2)
    build_index(data, workers=1)
    moved = data.rename(tmp_path / "moved")
    written = (moved / DEFAULT).read_bytes()
    calls: list[int] = []
    build_index(moved, on_progress=lambda done, total: calls.append(done))
    assert calls == [2]
    assert (moved / DEFAULT).read_bytes() == written


def test_a_torn_or_edited_index_is_noticed_and_made_again(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=2)
    build_index(data, workers=1)
    path = data / DEFAULT
    written = path.read_bytes()
    random = np.random.default_rng(0)
    wrong = [written[:length] for length in random.integers(40, len(written), 40)]
    wrong += [written + b"\n", written.replace(b"caption 1", b"caption 2"), written[: written.rfind(b'{"end"')]]
    for place in random.integers(0, len(written), 40):
        flipped = bytearray(written)
        flipped[place] ^= 1 << int(random.integers(8))
        wrong.append(bytes(flipped))
    for raw in wrong:
        path.write_bytes(raw)
        with pytest.raises(DataError, match=str(path)):
            load_index(data)
    path.write_bytes(wrong[0])
    build_index(data, workers=1)
    assert path.read_bytes() == written


def test_an_index_of_the_first_version_is_read_and_made_anew(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=2)
    index, path = build_index(data, workers=1), data / DEFAULT
    written = path.read_bytes()
    lines = [json.loads(line) for line in written.splitlines()[:-1]]
    lines[0]["version"] = 1
    for line in lines[1:3]:
        del line["scan"]["transparent_frames"], line["scan"]["missing_frames"]
    body = "".join(json_line(line) + "\n" for line in lines).encode()
    end = {"end": len(lines), "sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(body + json_line(end).encode() + b"\n")
    assert load_index(data) == index
    calls: list[int] = []
    build_index(data, workers=1, on_progress=lambda done, total: calls.append(done))
    assert calls == [0, 1, 2], "what it found is not taken over: it may have refused what is good now"
    assert path.read_bytes() == written


def test_other_limits_look_again(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=2)
    assert len(build_index(data, workers=1).good) == 2
    assert len(build_index(data, workers=1, limits=ReadLimits(max_frames=3)).refused) == 2
    assert load_index(data).limits == ReadLimits(max_frames=3)
    assert len(build_index(data, workers=1).good) == 2


def test_entries_of_one_file_share_its_scan(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "long.mp4", frames=24)
    rows = ["path,caption,start,end", "long.mp4,one,0,1", "long.mp4,two,1,2", "long.mp4,late,99,100", "gone.mp4,none,,"]
    manifest = tmp_path / "clips.csv"
    manifest.write_text("\n".join(rows))
    calls: list[tuple[int, int]] = []
    index = build_index(manifest, workers=2, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    assert index.path == tmp_path / f"clips.csv.{DEFAULT}"
    assert [clip.entry.caption for clip in index.good] == ["one", "two"]
    assert kinds(index) == {"gone.mp4": "missing", "long.mp4@99.0-100.0": "range"}
    assert summarize(index)["frames"] == 16
    assert summarize(index)["files"] == 2


def test_shards_are_indexed_where_they_lie(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=3)
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as archive:
        for path in sorted(data.iterdir()):
            archive.add(path, path.name)
    loose, packed = build_index(data, workers=1), build_index(shard, workers=1)
    assert [clip.scan for clip in packed.good] == [clip.scan for clip in loose.good]
    assert [clip.entry.caption for clip in packed.good] == ["caption 0", "caption 1", "caption 2"]
    assert load_index(shard) == packed


def test_every_kind_of_refusal_is_listed_and_counted(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path, clips=2)
    (data / os.fsdecode(b"caf\xe9.mp4")).symlink_to(tmp_path / "nowhere.mp4")
    os.mkfifo(data / "pipe.mp4")
    (data / "empty.mp4").write_bytes(b"")
    shutil.copy(data / "clip_000.mp4", data / "latin.mp4")
    (data / "latin.txt").write_bytes(b"caf\xe9")
    index = build_index(data, workers=2)
    found = kinds(index)
    assert found.pop("empty.mp4")
    assert found == {os.fsdecode(b"caf\xe9.mp4"): "missing", "pipe.mp4": "not-a-file", "latin.mp4": "caption"}
    summary = json.loads(json.dumps(summarize(index)))
    assert (summary["clips"], summary["good"], summary["refused"], summary["frames"]) == (6, 2, 4, 18)
    assert summary["files"] == 6, "one that is refused for its caption is a file too"
    assert sum(damage["count"] for damage in summary["damage"].values()) == 4
    text = describe(summary)
    text.encode("utf-8")  # although a name is no text
    assert all(kind in text for kind in ("missing", "not-a-file", "caption", "96x64"))


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=1)
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    for out, words in (
        (precious, "thesis.txt: is not an index"),
        (tmp_path, "is a folder"),
        (tmp_path / "no/x", "no such folder"),
    ):
        with pytest.raises(DataError, match=words):
            build_index(data, out=out)
    assert precious.read_text() == "years of work"
    with pytest.raises(DataError, match="videogen data index"):
        load_index(data)


def test_read_only_data_ask_for_another_place(
    tmp_path: Path, make_set: MakeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, header: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    data = make_set(tmp_path / "set", clips=1)
    monkeypatch.setattr("videogen.data.index.build.open_journal", read_only)
    with pytest.raises(DataError, match="Read-only file system"):
        build_index(data)


def test_a_worker_that_is_killed_once_costs_nothing(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path / "set", clips=5)
    expected = build_index(data, out=tmp_path / "calm.jsonl", workers=1)

    def kill_the_worker(done: int, total: int) -> None:
        if done == 2:
            multiprocessing.active_children()[0].kill()

    killed = build_index(data, out=tmp_path / "killed.jsonl", workers=1, on_progress=kill_the_worker)
    assert killed.good == expected.good
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "calm.jsonl").read_bytes()


def test_the_verdict_on_a_file_that_kills_its_reader(tmp_path: Path, make_set: MakeSet) -> None:
    seen = build_index(make_set(tmp_path, clips=1), workers=1).good[0].scan
    task = ProbeTask('["a.mp4"]', tmp_path / "a.mp4", Stamp(1, 2))
    failure = ReadFailure("broken", "x")
    for result, expected in (
        (TaskResult((seen, "decord"), None), (seen, "decord", None)),
        (TaskResult((seen, "pyav"), None), (seen, "pyav", None)),
        (TaskResult((seen,), "signal SIGABRT"), (seen, "pyav", None)),  # only decord died of it
        (TaskResult((seen, failure), None), (None, None, failure)),
        (TaskResult((failure,), None), (None, None, failure)),
    ):
        assert record_of(task, result) == FileRecord(task.place, task.stamp, *expected)
    for died, kind in (("signal SIGABRT", "crashed"), (TIMED_OUT, "hung")):
        record = record_of(task, TaskResult((), died))
        assert record.failure is not None
        assert record.failure.kind == kind


def test_refusals_keep_the_order_of_keys_and_name_the_file(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path, clips=1)
    for name in ("z.mp4", "a.mp4"):
        (data / name).symlink_to("nowhere.mp4")
    index = build_index(data, workers=1)
    assert index.refused == (
        RefusedClip("a.mp4", str(data / "a.mp4"), "missing", "no such file"),
        RefusedClip("z.mp4", str(data / "z.mp4"), "missing", "no such file"),
    )
    assert [entry.key for entry in index.entries] == ["a.mp4", "clip_000.mp4", "z.mp4"]
    assert index.good[0].entry == Entry("clip_000.mp4", data / "clip_000.mp4", "caption 0")
