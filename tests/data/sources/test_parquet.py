"""Parquet manifests and repositories of Hugging Face `datasets` give the clips that the files give."""

import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.data.conftest import MakeSet
from tests.executors.inline import InlineExecutor
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, build_index, find_entries, load_index
from videogen.data.index import build
from videogen.errors import DataError
from videogen.storage import location

pyarrow = pytest.importorskip("pyarrow")
import pyarrow.parquet as parquet  # noqa: E402

pytestmark = pytest.mark.services
SPEC = ClipSpec(height=32, width=32, fps=8, frames=5)


@pytest.fixture
def clips(make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOGEN_CACHE", str(tmp_path / "cache"))
    return make_set(tmp_path / "clips", clips=5)


def write(place: Path, rows: list[dict[str, Any]], group: int = 2) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), place, row_group_size=group)
    return place


def embedded(clips: Path, folder: Path) -> Path:
    """A repository as `datasets` writes it: two files of videos in structs, with captions."""
    rows = [
        {"video": {"bytes": place.read_bytes(), "path": place.name}, "text": place.with_suffix(".txt").read_text()}
        for place in sorted(clips.glob("*.mp4"))
    ]
    write(folder / "data" / "train-00000-of-00002.parquet", rows[:3])
    write(folder / "data" / "train-00001-of-00002.parquet", rows[3:])
    return folder


def samples(data: Any) -> list[tuple[str, list[int]]]:
    dataset = ClipDataset(load_index(data), SPEC, 1)
    found = [dataset.sample(0, number) for number in range(len(dataset))]
    return sorted((each.caption, each.clip.sum(axis=(1, 2, 3)).tolist()) for each in found)


def hashes(data: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(clip.entry.caption, clip.scan.hashes) for clip in load_index(data).good]


def test_a_manifest_says_what_the_csv_says(clips: Path) -> None:
    rows = [{"path": f"clip_{n:03}.mp4", "caption": f"caption {n}", "start": None, "end": 0.5 * n} for n in (1, 2)]
    manifest = write(clips / "some.parquet", rows)
    (clips / "some.csv").write_text(
        "path,caption,start,end\nclip_001.mp4,caption 1,,0.5\nclip_002.mp4,caption 2,,1.0\n"
    )
    assert find_entries(manifest) == find_entries(clips / "some.csv")
    write(clips / "wrong.parquet", [{"path": "../a.mp4", "caption": 3}])
    with pytest.raises(DataError, match=r"wrong.parquet:1: 'caption' is 3; expected text"):
        find_entries(clips / "wrong.parquet")
    write(clips / "other.parquet", [{"path": "a.mp4", "captoin": "a"}])
    with pytest.raises(DataError, match="unknown column 'captoin'; did you mean 'caption'"):
        find_entries(clips / "other.parquet")


def test_metadata_of_a_videofolder(clips: Path) -> None:
    write(clips / "metadata.parquet", [{"file_name": f"clip_{n:03}.mp4", "text": f"x {n}", "n": n} for n in range(5)])
    assert [entry.caption for entry in find_entries(clips)] == [f"x {n}" for n in range(5)]


def test_videos_in_parquet_are_those_of_the_files(clips: Path, tmp_path: Path) -> None:
    folder = embedded(clips, tmp_path / "repository")
    build_index(clips, workers=1)
    index = build_index(folder, workers=2)
    assert [clip.entry.key for clip in index.good][:1] == ["data/train-00000-of-00002.parquet/00000000"]
    assert hashes(folder) == hashes(clips)
    for blocks in ("16000000000", "0"):  # kept in the cache, and taken out of the file each time
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VIDEOGEN_CACHE_BYTES", blocks)
            assert samples(folder) == samples(folder)


def test_a_remote_repository(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = embedded(clips, tmp_path / "repository")
    build_index(clips, workers=1)
    files = fsspec.filesystem("memory")
    files.put(f"{folder}/", "memory://repository/", recursive=True)
    monkeypatch.setattr(build, "LocalExecutor", lambda workers: InlineExecutor())  # no other process sees memory://
    url = location("memory://repository")
    build_index(url)
    assert hashes(url) == hashes(clips)
    files.pipe("/repository/data/train-00000-of-00002.parquet", b"other")
    shutil.rmtree(tmp_path / "cache" / "blocks")
    dataset = ClipDataset(load_index(url), SPEC, 1)
    with pytest.raises(DataError, match="not the object that was indexed"):
        [dataset.sample(0, number) for number in range(len(dataset))]
    files.rm("/", recursive=True)


def test_no_videos_and_no_parquet(tmp_path: Path) -> None:
    write(tmp_path / "some" / "numbers.parquet", [{"number": 1}])
    with pytest.raises(DataError, match="neither a column 'path' or 'file_name' nor one of videos"):
        find_entries(tmp_path / "some")
    (tmp_path / "some" / "numbers.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match="not a Parquet file"):
        find_entries(tmp_path / "some")
