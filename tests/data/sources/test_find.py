"""The entries of a set depend on names and captions alone; nothing is dropped silently."""

import os
import sys
from pathlib import Path

import pytest

from videogen.data import Entry, find_entries
from videogen.errors import DataError, UsageError


def lay(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def captions(data: Path) -> dict[str, str]:
    return {entry.key: entry.caption for entry in find_entries(data)}


def test_a_folder_gives_its_videos_sorted_by_key(tmp_path: Path) -> None:
    lay(tmp_path, {"b.mp4": "", "b.txt": "bee", "a/z.webm": "", "a/z.txt": "zed", "B.MOV": "", "notes.md": "no video"})
    assert find_entries(tmp_path) == (
        Entry("B.MOV", tmp_path / "B.MOV", ""),
        Entry("a/z.webm", tmp_path / "a/z.webm", "zed"),
        Entry("b.mp4", tmp_path / "b.mp4", "bee"),
    )


def test_the_order_of_the_directory_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{name}.mp4" for name in ("ä", "z", "Z", "a10", "a9", "é/x", "e/x")]
    lay(tmp_path, dict.fromkeys(names, ""))
    expected = sorted(names)
    assert [entry.key for entry in find_entries(tmp_path)] == expected
    real = os.scandir

    class Reversed:
        def __init__(self, folder: Path) -> None:
            self.items = sorted(real(folder), key=lambda item: item.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.items

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert [entry.key for entry in find_entries(tmp_path)] == expected


def test_captions_have_one_form(tmp_path: Path) -> None:
    texts = {
        "bom": b"\xef\xbb\xbfa red ring",
        "crlf": b"a red ring\r\nspins\r\n",
        "space": b"\n  a red ring \t",
        "empty": b"",
        "unicode": "ein grüner Ring".encode(),
    }
    lay(tmp_path, {f"{name}.txt": text for name, text in texts.items()} | {f"{name}.mp4": "" for name in texts})
    lay(tmp_path, {"none.mp4": "", "upper.MP4": "", "upper.TXT": "LOUD", "two.mp4": "", "two.webm": "", "two.txt": "2"})
    assert captions(tmp_path) == {
        "bom.mp4": "a red ring",
        "crlf.mp4": "a red ring\nspins",
        "space.mp4": "a red ring",
        "empty.mp4": "",
        "unicode.mp4": "ein grüner Ring",
        "none.mp4": "",
        "upper.MP4": "LOUD",
        "two.mp4": "2",
        "two.webm": "2",
    }


@pytest.mark.parametrize("raw", [b"caf\xe9", "a ring".encode("utf-16"), b"zero \0 byte", b"x" * (1 << 20) + b"x"])
def test_a_caption_that_is_no_text_is_a_fault_of_its_clip(tmp_path: Path, raw: bytes) -> None:
    lay(tmp_path, {"a.mp4": "", "a.txt": raw, "b.mp4": "", "b.txt": "fine"})
    a, b = find_entries(tmp_path)
    assert a.failure is not None
    assert (a.failure.kind, a.caption) == ("caption", "")
    assert b == Entry("b.mp4", tmp_path / "b.mp4", "fine")


def test_hidden_files_are_not_looked_at_and_links_are_followed(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"set/a.mp4": "", "set/._a.mp4": "", "set/.cache/b.mp4": "", "elsewhere/c.mp4": "", "elsewhere/c.txt": "c"},
    )
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/loop").symlink_to(tmp_path / "set")
    (tmp_path / "set/broken.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert captions(tmp_path / "set") == {"a.mp4": "", "linked/c.mp4": "c", "broken.mp4": ""}


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    lay(tmp_path, {name: ""})
    assert [entry.key for entry in find_entries(tmp_path)] == [name]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no videos"),
        ({"clips.csv": "path\na.mp4\n"}, "did you mean the manifest"),
        ({"a.mp4": "", "b.tar": ""}, "both videos and archives (b.tar)"),
        ({"a.mp4": "", "b.tar.gz": ""}, "both videos and archives (b.tar.gz)"),
    ],
)
def test_a_folder_that_is_no_set_says_why(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    lay(tmp_path, files)
    with pytest.raises(DataError) as caught:
        find_entries(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, {"a.mp4": "", "metadata.parquet": ""})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"metadata.parquet: Parquet needs pyarrow; pip install -e '.\[parquet\]'"):
        find_entries(tmp_path)


def test_what_is_no_set_says_why(tmp_path: Path) -> None:
    lay(tmp_path, {"a.mp4": "", "empty.csv": "path,caption\n"})
    for name, words in (("a.mp4", "not a training set"), ("gone", "not found"), ("empty.csv", "holds no videos")):
        with pytest.raises(DataError, match=words):
            find_entries(tmp_path / name)
