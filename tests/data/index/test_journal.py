"""Whatever a kill leaves of a journal, the next run uses exactly the whole lines."""

from pathlib import Path

import pytest

from videogen.data.index.journal import open_journal
from videogen.data.index.jsonl import FileRecord, Stamp
from videogen.data.sources.entry import ReadFailure
from videogen.errors import LockedError
from videogen.io import Scan

HEADER = {"format": "test", "version": 1}
SCAN = Scan("mp4", "h264", "yuv420p", 48, 32, 0, (1, 8), (0, 1), (0,), ("a", "b"))
RECORDS = [
    FileRecord('["a.mp4"]', Stamp(3, 4), SCAN, "pyav", None),
    FileRecord('["b.tar",512,9,"caf\\udce9.mp4"]', Stamp(5, 6), None, None, ReadFailure("cut", "a \u2028 b")),
    FileRecord('["c.mp4"]', None, None, None, ReadFailure("missing", "no such file")),
]


def held(path: Path) -> list[FileRecord]:
    with open_journal(path, HEADER) as journal:
        return list(journal.records.values())


def test_cut_anywhere_the_whole_lines_remain_and_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path, HEADER) as journal:
        for record in RECORDS:
            journal.append(record)
    whole = path.read_bytes()
    assert held(path) == RECORDS
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        left = RECORDS[: max(0, sum(end <= length for end in ends) - 1)]
        with open_journal(path, HEADER) as journal:
            assert list(journal.records.values()) == left
            for record in RECORDS[len(left) :]:
                journal.append(record)
        assert path.read_bytes() == whole


def test_a_line_that_rotted_ends_what_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path, HEADER) as journal:
        for record in RECORDS:
            journal.append(record)
    whole = path.read_bytes()
    second = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    path.write_bytes(whole[: second + 40] + b"?" + whole[second + 41 :])
    assert held(path) == RECORDS[:1]


def test_another_header_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path, HEADER) as journal:
        journal.append(RECORDS[0])
    with open_journal(path, {**HEADER, "version": 2}) as journal:
        assert journal.records == {}
    assert held(path) == []


def test_two_processes_do_not_write_one_journal(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "journal", HEADER),
        pytest.raises(LockedError),
        open_journal(tmp_path / "journal", HEADER),
    ):
        pass
