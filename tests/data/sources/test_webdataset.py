"""Archives are read in place; a damaged one never loses clips silently."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from videogen.data import find_entries
from videogen.io import Span

Files = list[tuple[str, bytes]]


def pack(path: Path, files: Files, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def content(span: object) -> bytes:
    assert isinstance(span, Span)
    with span.path.open("rb") as file:
        file.seek(span.start)
        return file.read(span.length)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_spans_hold_the_bytes_of_the_members(tmp_path: Path, form: int) -> None:
    long = "a" * 80 + "/" + "b" * 90 + ".mp4"
    pack(
        tmp_path / "one.tar",
        [
            ("x.txt", b"\xef\xbb\xbfan x\r\n"),
            ("x.mp4", b"XXX"),
            ("x.json", b'{"caption": "not this"}'),
            ("./deep/y.json", b'{"caption": " a y ", "width": 3}'),
            ("deep/y.MP4", b"Y" * 1000),
            ("n.json", b'{"width": 3}'),
            ("n.mp4", b""),
            (long, b"long"),
            (".hidden.mp4", b"hidden"),
            ("__pycache__/.h/z.mp4", b"hidden"),
            ("cover.jpg", b"no video"),
        ],
        form,
    )
    found = {entry.key: entry for entry in find_entries(tmp_path / "one.tar")}
    assert {key: (entry.caption, content(entry.source), entry.failure) for key, entry in found.items()} == {
        "one.tar/x.mp4": ("an x", b"XXX", None),
        "one.tar/deep/y.MP4": ("a y", b"Y" * 1000, None),
        "one.tar/n.mp4": ("", b"", None),
        f"one.tar/{long}": ("", b"long", None),
    }


def test_a_folder_of_shards_is_one_set(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    pack(tmp_path / "more/b.tar", [("0.mp4", b"2")])
    pack(tmp_path / "a.tar", [("1.mp4", b"1"), ("0.mp4", b"0")])
    assert [(entry.key, content(entry.source)) for entry in find_entries(tmp_path)] == [
        ("a.tar/0.mp4", b"0"),
        ("a.tar/1.mp4", b"1"),
        ("more/b.tar/0.mp4", b"2"),
    ]


def test_members_that_cannot_be_trusted_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        for name, target in (("link.mp4", "elsewhere.mp4"), ("hard.mp4", "good.mp4")):
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE if name == "link.mp4" else tarfile.LNKTYPE
            info.linkname = target
            archive.addfile(info)
        files = [
            ("../out.mp4", b"a"),
            ("/top.mp4", b"b"),
            ("twice.mp4", b"c"),
            ("./twice.mp4", b"d"),
            ("good.mp4", b"e"),
        ]
        files += [
            ("j.mp4", b""),
            ("j.json", b"{"),
            ("k.mp4", b""),
            ("k.json", b'{"caption": 3}'),
            ("t.mp4", b""),
            ("t.txt", b"\xff"),
        ]
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    kinds = {
        entry.key.removeprefix("bad.tar/"): entry.failure.kind if entry.failure else "" for entry in find_entries(path)
    }
    assert kinds == {
        "link.mp4": "member",
        "hard.mp4": "member",
        "../out.mp4": "member",
        "/top.mp4": "member",
        "twice.mp4": "duplicate",
        "good.mp4": "",
        "j.mp4": "caption",
        "k.mp4": "caption",
        "t.mp4": "caption",
    }


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    files = [(f"{number}.mp4", bytes([number]) * (300 * number)) for number in range(1, 5)]
    whole = pack(tmp_path / "whole.tar", files).read_bytes()
    end = len(whole.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    for length in [*range(0, end, 97), *range(0, end + 1024, 512)]:
        cut.write_bytes(whole[:length])
        _nothing_lost_silently(cut, dict(files))


def test_damaged_headers_are_noticed(tmp_path: Path) -> None:
    files = [(f"{number}.mp4", bytes([number]) * 600) for number in range(1, 5)]
    whole = pack(tmp_path / "whole.tar", files).read_bytes()
    damaged = tmp_path / "damaged.tar"
    random = np.random.default_rng(0)
    for header in range(0, 4 * 512 * 3, 512 * 3):
        for _ in range(30):
            raw = bytearray(whole)
            raw[header + int(random.integers(257))] ^= int(random.integers(1, 256))  # the fields the checksum is for
            damaged.write_bytes(raw)
            _nothing_lost_silently(damaged, dict(files))


def test_what_is_no_plain_tar_is_a_fault(tmp_path: Path) -> None:
    good = pack(tmp_path / "good.tar", [("a.mp4", b"a")]).read_bytes()
    for raw in (
        b"",
        b"\x1f\x8b\x08" + b"x" * 2000,
        b"no tar" * 500,
        good + good,
        good[:1024] + b"\xff" * 512 + good[1024:],
    ):
        path = tmp_path / "odd.tar"
        path.write_bytes(raw)
        assert [entry.failure.kind for entry in find_entries(path) if entry.failure] == ["shard"]


def _nothing_lost_silently(path: Path, files: dict[str, bytes]) -> None:
    entries = find_entries(path)
    good = {
        entry.key.removeprefix(f"{path.name}/"): content(entry.source) for entry in entries if entry.failure is None
    }
    assert good.items() <= files.items()
    assert good == files or any(entry.failure is not None for entry in entries)
