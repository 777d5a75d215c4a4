"""A videofolder of the Hugging Face hub: metadata name the files and their captions."""

from pathlib import Path

import pytest

from tests.data.conftest import MakeClip
from tests.data.sources.test_find import captions, lay
from videogen.data import build_index, find_entries
from videogen.errors import DataError


@pytest.mark.parametrize("column", ["text", "caption", "prompt"])
def test_both_kinds_of_metadata_say_the_same(tmp_path: Path, column: str) -> None:
    videos = {"a.mp4": "", "sub/b.mp4": "", "a.txt": "not this", "notes.md": ""}
    table = f'file_name,width,{column}\na.mp4,96,"a ring, red"\nsub/b.mp4,96,a star\n'
    lines = (
        f'{{"file_name": "a.mp4", "{column}": "a ring, red", "objects": {{"id": [1]}}}}\n'
        f'{{"file_name": "sub/b.mp4", "{column}": "a star"}}\n'
    )
    expected = {"a.mp4": "a ring, red", "sub/b.mp4": "a star"}
    csv = lay(tmp_path / "csv", {**videos, "metadata.csv": table})
    jsonl = lay(tmp_path / "jsonl", {**videos, "metadata.jsonl": lines})
    assert captions(csv) == captions(jsonl) == expected
    assert captions(csv / "metadata.csv") == captions(jsonl / "metadata.jsonl") == expected
    assert all(entry.failure is None for entry in (*find_entries(csv), *find_entries(jsonl)))


def test_metadata_lie_in_several_folders(tmp_path: Path) -> None:
    lay(tmp_path, {"train/0.mp4": "", "train/1.mp4": "", "test/0.mp4": ""})
    lay(tmp_path, {"train/metadata.csv": "file_name,text\n0.mp4,zero\n1.mp4,one\n1.mp4,another one\n"})
    lay(tmp_path, {"test/metadata.jsonl": '{"file_name": "0.mp4", "text": "nought"}\n'})
    assert captions(tmp_path) == {
        "test/0.mp4": "nought", "train/0.mp4": "zero", "train/1.mp4": "one", "train/1.mp4#2": "another one"
    }  # fmt: skip
    assert captions(tmp_path / "train") == {"0.mp4": "zero", "1.mp4": "one", "1.mp4#2": "another one"}
    lay(tmp_path, {"metadata.jsonl": '{"file_name": "train/0.mp4", "text": "again"}\n'})
    with pytest.raises(DataError, match=r"train/0\.mp4"):
        find_entries(tmp_path)


def test_what_is_listed_and_what_is_there_are_compared(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "a.mp4", frames=2)
    make_clip(tmp_path / "unlisted.mp4", frames=2, caption="beside it")
    lay(tmp_path, {"metadata.jsonl": '{"file_name": "a.mp4", "text": null}\n{"file_name": "gone.mp4", "text": "x"}\n'})
    index = build_index(tmp_path, workers=1)
    assert [clip.entry.caption for clip in index.good] == [""]
    assert {(clip.key, clip.kind) for clip in index.refused} == {("gone.mp4", "missing"), ("unlisted.mp4", "caption")}
    assert any("not listed in metadata.jsonl" in clip.detail for clip in index.refused)


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    lay(tmp_path, {"a.mp4": "", "metadata.jsonl": '{"file_name": "a.mp4", "text": "x"}\n{"text": "y"}\n'})
    with pytest.raises(DataError, match=r"metadata\.jsonl:2: 'file_name'"):
        find_entries(tmp_path)
    lay(tmp_path, {"metadata.jsonl": '{"file_name": "a.mp4", "text": ["x", "y"]}\n'})
    with pytest.raises(DataError, match=r"metadata\.jsonl:1: 'text'"):
        find_entries(tmp_path)


def test_other_tables_beside_videos_mean_nothing(tmp_path: Path) -> None:
    lay(tmp_path, {"a.mp4": "", "a.txt": "a ring", "metadata.csv": "name,licence\na,free\n", "metadata.jsonl": "{\n"})
    assert captions(tmp_path) == {"a.mp4": "a ring"}
