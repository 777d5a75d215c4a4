"""WebDataset shards: tar archives whose members share a stem, `x.mp4` with `x.txt` or `x.json`.

A video is a span of its archive; compressed archives are unpacked first, see `compressed`. A stem is the name of a
member without its last suffix; `x.txt` wins over `x.json`. Members may be in any order. Hidden members are skipped. A
video that is a link, or whose name leaves the archive or occurs twice, is refused. The key is `shard.tar/member`.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from videogen.data.sources.captions import MAX_BYTES, caption_from_json, caption_from_text
from videogen.data.sources.entry import Entry, ReadFailure, is_hidden, is_video_name
from videogen.io import Span
from videogen.storage import Location

BLOCK = tarfile.BLOCKSIZE
UNREADABLE = (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError, EOFError)


@dataclass(frozen=True)
class Member:
    """A name in an archive and the place of its bytes; `failure` if they cannot be used."""

    name: str
    start: int
    length: int
    failure: ReadFailure | None


def shard_entries(shard: Location, name: str) -> list[Entry]:
    """The videos of one archive; if the archive is damaged, one more entry with a failure and the key `name`."""
    with shard.open("rb") as file:
        members, damage = read_members(file)
        entries = list(_entries(shard, name, members, file))
    if damage is not None:
        entries.append(Entry(name, shard, "", failure=damage))
    return entries


def read_members(file: BinaryIO) -> tuple[list[Member], ReadFailure | None]:
    """The visible members of an uncompressed tar, and the damage of the archive if there is any.

    `tarfile` takes an unreadable header for the end without an error, so the end mark of the format is checked here.
    """
    size = file.seek(0, 2)
    file.seek(0)
    members: list[Member] = []
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                if archive.offset <= end:
                    return members, ReadFailure("shard", f"a member at byte {end} points backwards")
                end = archive.offset
                if not info.isdir() and not is_hidden(info.name):
                    members.append(_member(info, size))
    except UNREADABLE as error:
        return members, ReadFailure("shard", f"not an uncompressed tar archive, or cut off, after byte {end} ({error})")
    return members, _damaged_end(file, end)


def _member(info: tarfile.TarInfo, size: int) -> Member:
    name = PurePosixPath(info.name)
    failure = None
    if not info.isreg() or info.issparse():
        failure = ReadFailure("member", "a link or special member, not plain bytes")
    elif name.is_absolute() or ".." in name.parts:
        failure = ReadFailure("member", "its name leads out of the archive")
    elif info.offset_data + info.size > size:
        failure = ReadFailure("shard", "the archive is cut off within this member")
    return Member(str(name), info.offset_data, info.size, failure)


def _damaged_end(file: BinaryIO, end: int) -> ReadFailure | None:
    file.seek(end)
    mark = file.read(BLOCK)
    if len(mark) < BLOCK:
        return ReadFailure("shard", "the archive has no end mark: it was cut off, and clips may be lost")
    while mark:
        if mark.strip(b"\0"):
            return ReadFailure("shard", f"damaged, or two archives in one: what follows byte {end} cannot be read")
        mark = file.read(1 << 20)
    return None


def _entries(shard: Location, shard_name: str, members: list[Member], file: BinaryIO) -> Iterator[Entry]:
    count = Counter(member.name for member in members)
    by_name = {member.name: member for member in members}
    for member in by_name.values():
        if not is_video_name(member.name):
            continue
        caption = _caption(member.name, by_name, count, file)
        failure = member.failure or (caption if isinstance(caption, ReadFailure) else None)
        if count[member.name] > 1:
            failure = ReadFailure("duplicate", f"the name occurs {count[member.name]} times in the archive")
        source = Span(shard, member.start, member.length, member.name)
        text = "" if isinstance(caption, ReadFailure) else caption
        yield Entry(f"{shard_name}/{member.name}", source, text, failure=failure)


def _caption(video: str, by_name: dict[str, Member], count: Counter[str], file: BinaryIO) -> str | ReadFailure:
    for suffix, understand in ((".txt", caption_from_text), (".json", caption_from_json)):
        member = by_name.get(str(PurePosixPath(video).with_suffix(suffix)))
        if member is None:
            continue
        if member.failure is not None or count[member.name] > 1 or member.length > MAX_BYTES:
            return ReadFailure("caption", f"{member.name} is not one plain file of at most {MAX_BYTES} bytes")
        file.seek(member.start)
        return understand(file.read(member.length))
    return ""
