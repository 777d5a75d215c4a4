"""A compressed shard is the same set as the plain one."""

import bz2
import gzip
import lzma
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.data.conftest import MakeSet
from tests.data.sources.test_webdataset import content, pack
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, build_index, check_files, find_entries, load_index
from videogen.errors import DataError

SPEC = ClipSpec(frames=5, height=16, width=24, fps=8)


@pytest.fixture
def shard(tmp_path: Path, make_set: MakeSet) -> Path:
    """A plain one of three clips."""
    clips = make_set(tmp_path / "clips", clips=3)
    return pack(tmp_path / "a.tar", [(path.name, path.read_bytes()) for path in sorted(clips.iterdir())])


KINDS = [(".tar.gz", gzip), (".tgz", gzip), (".tar.bz2", bz2), (".tar.xz", lzma)]


@pytest.mark.parametrize(("suffix", "compress"), KINDS)
def test_entries_are_those_of_the_plain_one(suffix: str, compress: ModuleType, shard: Path, tmp_path: Path) -> None:
    packed = tmp_path / "set" / f"a{suffix}"
    packed.parent.mkdir()
    packed.write_bytes(compress.compress(shard.read_bytes()))
    plain = find_entries(shard)
    for data in (packed, packed.parent):
        found = find_entries(data)
        assert [entry.key for entry in found] == [entry.key.replace("a.tar", f"a{suffix}") for entry in plain]
        assert [entry.caption for entry in found] == [entry.caption for entry in plain]
        assert [content(entry.source) for entry in found] == [content(entry.source) for entry in plain]


def test_it_is_indexed_and_read(shard: Path, tmp_path: Path) -> None:
    packed = tmp_path / "set" / "a.tar.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(shard.read_bytes()))
    index = build_index(packed.parent, workers=1)
    assert load_index(packed.parent) == index
    assert check_files(index) == []
    plain = ClipDataset(build_index(shard, workers=1), SPEC, seed=1)
    dataset = ClipDataset(index, SPEC, seed=1)
    assert [clip.scan for clip in dataset.clips] == [clip.scan for clip in plain.clips]
    assert all(np.array_equal(dataset.sample(0, i).clip, plain.sample(0, i).clip) for i in range(3))


def test_it_is_unpacked_again_when_it_has_changed(shard: Path, tmp_path: Path) -> None:
    packed = tmp_path / "set" / "a.tar.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(shard.read_bytes()))
    index = build_index(packed, workers=1)
    plain = find_entries(packed)[0].source.path  # type: ignore[union-attr]
    written = plain.stat().st_ino
    assert find_entries(packed)[0].source.path.stat().st_ino == written  # type: ignore[union-attr]
    other = pack(tmp_path / "b.tar", [("b.mp4", b"not a video")])
    packed.write_bytes(gzip.compress(other.read_bytes()))
    os.utime(packed, ns=(1, 1))
    assert [entry.key for entry in find_entries(packed)] == ["a.tar.gz/b.mp4"]
    assert {change["kind"] for change in check_files(index)} == {"new", "removed", "changed"}


def test_a_damaged_one_is_a_fault_and_leaves_nothing(shard: Path, tmp_path: Path) -> None:
    whole = gzip.compress(shard.read_bytes())
    for number, raw in enumerate((whole[:-100], whole[:2000] + b"x" * 50 + whole[2050:], b"no gzip", b"")):
        packed = tmp_path / f"set{number}" / "a.tar.gz"
        packed.parent.mkdir()
        packed.write_bytes(raw)
        assert [entry.failure.kind for entry in find_entries(packed) if entry.failure] == ["shard"]
        assert not list(packed.parent.rglob("*.partial"))


def test_a_folder_that_is_closed_says_what_to_do(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(shard.read_bytes()))

    def closed(folder: Path, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "mkdir", closed)
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        find_entries(packed)
