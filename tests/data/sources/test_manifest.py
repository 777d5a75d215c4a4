"""Tables of clips: every wrong line is reported with its number, and nothing is guessed."""

from pathlib import Path

import pytest

from videogen.data import Entry, find_entries
from videogen.errors import DataError


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_and_jsonl_say_the_same(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "clips.csv",
        "\ufeffpath, caption, start, end\r\n"
        'videos/a.mp4, "a ring, ""red""", 0.5, 2\r\n'
        "\r\n"
        "./videos/a.mp4,later,2,\r\n"
        '/data/b.mp4,"two\r\nlines",,\r\n'
        "videos/c.mp4,,,1.5\r\n",
    )
    lines = write(
        tmp_path,
        "clips.jsonl",
        '{"path": "videos/a.mp4", "caption": "a ring, \\"red\\"", "start": 0.5, "end": 2}\n'
        "\n"
        '{"path": "videos/a.mp4", "caption": "later", "start": 2, "end": null}\n'
        '{"path": "/data/b.mp4", "caption": "two\\r\\nlines"}\r\n'
        '{"path": "videos/c.mp4", "end": 1.5}',
    )
    expected = (
        Entry("/data/b.mp4", Path("/data/b.mp4"), "two\nlines"),
        Entry("videos/a.mp4@0.5-2.0", tmp_path / "videos/a.mp4", 'a ring, "red"', 0.5, 2.0),
        Entry("videos/a.mp4@2.0-", tmp_path / "videos/a.mp4", "later", 2.0, None),
        Entry("videos/c.mp4@-1.5", tmp_path / "videos/c.mp4", "", None, 1.5),
    )
    assert find_entries(table) == expected
    assert find_entries(lines) == expected


def test_several_captions_of_one_clip_are_several_entries(tmp_path: Path) -> None:
    table = write(tmp_path, "clips.csv", "path,caption\na.mp4,one\na.mp4,two\na.mp4,three\n")
    found = {entry.key: entry.caption for entry in find_entries(table)}
    assert found == {"a.mp4": "one", "a.mp4#2": "two", "a.mp4#3": "three"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("path,captoin\na.mp4,x\n", 1, "unknown column 'captoin'; did you mean 'caption'?"),
        ("caption\nx\n", 1, "must name 'path'"),
        ("path,path\na,b\n", 1, "no column twice"),
        ("path,caption\na.mp4,one, two\n", 2, "3 cells under 2 columns"),
        ("path,caption\n,one\n", 2, "'path' is missing"),
        ("path,caption\nhttps://example.org/a.mp4,one\n", 2, "only files of the set"),
        ("path,start\na.mp4,soon\n", 2, "'start' is 'soon'"),
        ("path,start\na.mp4,-1\n", 2, "'start' is '-1'"),
        ("path,start\na.mp4,nan\n", 2, "'start' is 'nan'"),
        ("path,end\na.mp4,inf\n", 2, "'end' is 'inf'"),
        ("path,start,end\na.mp4,2,2\n", 2, "'end' is 2.0; it must lie after the start (2.0)"),
        ("path,end\na.mp4,0\n", 2, "it must lie after the start"),
        ('path,caption\n"a\n.mp4",x\n"b.mp4" y,z\n', 4, "not CSV"),
        ("path,caption\na.mp4,x\na.mp4,x\n", 3, "repeats line 2"),
        ("path,caption\na.mp4,x\nb.mp4,\x00\n", 3, "zero"),
        (b"path,caption\na.mp4,caf\xe9\n", 2, "not UTF-8"),
    ],
)
def test_wrong_csv_lines_are_named(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    _refused(write(tmp_path, "clips.csv", text), line, words)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"path": "a.mp4", "captions": "x"}', 1, "unknown column 'captions'; did you mean 'caption'?"),
        ('{"path": "a.mp4"}\n{"path": }', 2, "not JSON"),
        ('["a.mp4"]', 1, "not a JSON object"),
        ('{"path": "a.mp4", "path": "b.mp4"}', 1, "a column is given twice"),
        ('{"path": 3}', 1, "'path' is missing"),
        ('{"path": "a.mp4", "caption": 3}', 1, "'caption' is 3"),
        ('{"path": "a.mp4", "start": true}', 1, "'start' is True"),
        ('{"path": "a.mp4", "start": NaN}', 1, "'start' is nan"),
        ('{"path": "a.mp4", "start": 1' + "0" * 400 + "}", 1, "'start' is 1"),
        ('{"path": "\\ud800.mp4"}', 1, "ud800.mp4"),
        ('{"path": "a\\u0000.mp4"}', 1, "only files of the set"),
        ('{"path": "a.mp4", "caption": "\\udc80"}', 1, "surrogate"),
        ("[" * 100_000, 1, "nested too deep"),
    ],
)
def test_wrong_jsonl_lines_are_named(tmp_path: Path, text: str, line: int, words: str) -> None:
    _refused(write(tmp_path, "clips.jsonl", text), line, words)


def test_the_other_wrong_lines_are_counted(tmp_path: Path) -> None:
    _refused(write(tmp_path, "c.csv", "path,end\na.mp4,x\nb.mp4,1\nc.mp4,y\n,\n"), 2, "(and 2 more wrong lines)")


def _refused(manifest: Path, line: int, words: str) -> None:
    with pytest.raises(DataError) as caught:
        find_entries(manifest)
    message = str(caught.value)
    assert message.startswith(f"{manifest}:{line}: ")
    assert words in message
    assert "\n" not in message
