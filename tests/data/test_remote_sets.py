"""A set behind a URL is the set in the folder: the same clips, captions, frames and refusals."""

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.data.conftest import MakeSet
from tests.executors.inline import InlineExecutor
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, Index, build_index, check_files, find_entries, load_index, refuse_changed
from videogen.data.index import build
from videogen.errors import DataError, StorageError
from videogen.io import VideoError
from videogen.storage import Location, location, remote_file

SPEC = ClipSpec(height=32, width=32, fps=8, frames=5)
URL = location("memory://bucket/set")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(build, "LocalExecutor", lambda workers: InlineExecutor())  # no other process sees memory://
    monkeypatch.setenv("VIDEOGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDEOGEN_STORAGE_SECONDS", "0.05")
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


@pytest.fixture
def clips(make_set: MakeSet, tmp_path: Path) -> Path:
    folder = make_set(tmp_path / "set" / "sub", clips=4).parent
    (folder / "sub" / "torn.mp4").write_bytes((folder / "sub" / "clip_000.mp4").read_bytes()[:-30])
    return folder


def upload(store: Any, folder: Path) -> None:
    store.put(f"{folder}/", "memory://bucket/set/", recursive=True)


def assert_alike(here: Index, there: Index) -> None:
    assert [clip.scan for clip in here.good] == [clip.scan for clip in there.good]
    assert [(e.key, e.caption, e.start, e.end) for e in here.entries] == [
        (e.key, e.caption, e.start, e.end) for e in there.entries
    ]
    assert [(bad.key, bad.kind) for bad in here.refused] == [(bad.key, bad.kind) for bad in there.refused]
    one, other = (ClipDataset(index, SPEC, 1, max_bad_fraction=1.0) for index in (here, there))
    assert one.fingerprint == other.fingerprint
    for number in range(len(one)):
        assert (one.sample(0, number).clip == other.sample(0, number).clip).all()


def shard_of(clips: Path, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as archive:
        for place in sorted(clips.rglob("clip_*")):
            archive.add(place, place.name)
    return folder


@pytest.mark.parametrize("form", ["folder", "shards", "one shard", "manifest"])
def test_every_form_is_read_alike(store: Any, clips: Path, tmp_path: Path, form: str) -> None:
    folder: Path = clips
    if form == "manifest":
        (clips / "some.csv").write_text("path,caption,end\nsub/clip_001.mp4,one,0.9\nsub/clip_002.mp4,two,\n")
    if "shard" in form:
        folder = shard_of(clips, tmp_path / "shards")
    upload(store, folder)
    name = {"manifest": "some.csv", "one shard": "a.tar"}.get(form)
    here: Location = folder if name is None else folder / name
    there: Location = URL if name is None else URL / name
    assert_alike(build_index(here, workers=1), build_index(there))
    known = load_index(there)
    refuse_changed(known)
    assert check_files(known, full=False) == []


def test_a_second_indexing_reads_nothing(store: Any, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(store, clips)
    first = build_index(URL)
    executor = InlineExecutor()
    monkeypatch.setattr(build, "LocalExecutor", lambda workers: executor)
    assert build_index(URL) == first
    assert executor.tasks == []


def test_changed_and_missing_objects_are_named(store: Any, clips: Path, tmp_path: Path) -> None:
    upload(store, clips)
    index = build_index(URL)
    shutil.rmtree(tmp_path / "cache" / "blocks")
    store.pipe("/bucket/set/sub/clip_000.mp4", b"another")
    store.rm("/bucket/set/sub/clip_001.mp4")
    with pytest.raises(DataError, match=r"2 of 4 videos are not as they were indexed .*no such object"):
        refuse_changed(index)
    dataset = ClipDataset(index, SPEC, 1, max_bad_fraction=1.0)
    said = ""
    for number in range(len(dataset)):
        try:
            dataset.sample(0, number)
        except VideoError as error:
            said += str(error)
    assert "not the object that was indexed" in said
    assert "no such object" in said


def test_a_server_that_goes_away_stops_indexing_and_keeps_what_was_read(
    store: Any, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(store, clips)
    real, fetched = remote_file.read_range, []

    def away(url: str, start: int, end: int) -> bytes:
        if url.endswith(".mp4"):
            fetched.append(url)
            if len(fetched) > 2:
                raise ConnectionError("no route")
        return real(url, start, end)

    monkeypatch.setattr(remote_file, "read_range", away)
    with pytest.raises(StorageError, match=r"does not answer after .* the files that were read are kept"):
        build_index(URL)
    fetched.clear()
    monkeypatch.setattr(remote_file, "read_range", real)
    assert len(build_index(URL).good) == 4


@pytest.mark.parametrize("path", ["../other/a.mp4", "/etc/a.mp4", "s3://other/a.mp4", "file:///etc/a.mp4"])
def test_a_manifest_stays_within_its_folder(store: Any, path: str) -> None:
    store.pipe("/bucket/set/a.csv", f"path\n{path}\n".encode())
    with pytest.raises(DataError, match=r"a.csv:2: .*(leads out of|only files of the set itself)"):
        find_entries(URL / "a.csv")


def test_compressed_shards_and_empty_places_are_one_line(store: Any) -> None:
    store.pipe("/bucket/set/a.tar.gz", b"x")
    with pytest.raises(DataError, match="cannot be read by ranges"):
        find_entries(URL)
    with pytest.raises(DataError, match="not found"):
        find_entries(URL / "nowhere")
