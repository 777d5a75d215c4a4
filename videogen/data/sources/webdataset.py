"""WebDataset shards: tar archives whose members share a stem, `x.mp4` with `x.txt` or `x.json`.

A video is a span of its archive; compressed ones come here unpacked, see `compressed`. A stem is the member's name
without its last suffix; `x.txt` wins over `x.json`. Members may stand in any order. Hidden members are not looked at; a
video that is a link, or whose name leaves the archive or occurs twice, is refused by name. The key is
`shard.tar/member`.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from videogen.data.sources.captions import MAX_BYTES, caption_from_json, caption_from_text
from videogen.data.sources.entry import Entry, Fault, is_hidden, is_video_name
from videogen.io import Span

BLOCK = tarfile.BLOCKSIZE
UNREADABLE = (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError, EOFError)


@dataclass(frozen=True)
class Member:
    """A name in an archive and where its bytes lie; `fault` where they cannot be used."""

    name: str
    start: int
    length: int
    fault: Fault | None


def shard_entries(shard: Path, name: str) -> list[Entry]:
    """The videos of one archive; one more entry with a fault, called `name`, if the archive itself is damaged."""
    with shard.open("rb") as file:
        members, damage = read_members(file)
        entries = list(_entries(shard, name, members, file))
    if damage is not None:
        entries.append(Entry(name, shard, "", fault=damage))
    return entries


def read_members(file: BinaryIO) -> tuple[list[Member], Fault | None]:
    """The visible members of an uncompressed tar, and what is wrong with the archive if anything is.

    `tarfile` takes an unreadable header for the end, quietly: here the end has to be marked as the format demands.
    """
    size = file.seek(0, 2)
    file.seek(0)
    members: list[Member] = []
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                if archive.offset <= end:
                    return members, Fault("shard", f"a member at byte {end} points backwards")
                end = archive.offset
                if not info.isdir() and not is_hidden(info.name):
                    members.append(_member(info, size))
    except UNREADABLE as error:
        return members, Fault("shard", f"not an uncompressed tar archive, or cut off, after byte {end} ({error})")
    return members, _damaged_end(file, end)


def _member(info: tarfile.TarInfo, size: int) -> Member:
    name = PurePosixPath(info.name)
    fault = None
    if not info.isreg() or info.issparse():
        fault = Fault("member", "a link or special member, not plain bytes")
    elif name.is_absolute() or ".." in name.parts:
        fault = Fault("member", "its name leads out of the archive")
    elif info.offset_data + info.size > size:
        fault = Fault("shard", "the archive is cut off within this member")
    return Member(str(name), info.offset_data, info.size, fault)


def _damaged_end(file: BinaryIO, end: int) -> Fault | None:
    file.seek(end)
    mark = file.read(BLOCK)
    if len(mark) < BLOCK:
        return Fault("shard", "the archive has no end mark: it was cut off, and clips may be lost")
    while mark:
        if mark.strip(b"\0"):
            return Fault("shard", f"damaged, or two archives in one: what follows byte {end} cannot be read")
        mark = file.read(1 << 20)
    return None


def _entries(shard: Path, shard_name: str, members: list[Member], file: BinaryIO) -> Iterator[Entry]:
    count = Counter(member.name for member in members)
    by_name = {member.name: member for member in members}
    for member in by_name.values():
        if not is_video_name(member.name):
            continue
        caption = _caption(member.name, by_name, count, file)
        fault = member.fault or (caption if isinstance(caption, Fault) else None)
        if count[member.name] > 1:
            fault = Fault("duplicate", f"the name occurs {count[member.name]} times in the archive")
        source = Span(shard, member.start, member.length, member.name)
        text = "" if isinstance(caption, Fault) else caption
        yield Entry(f"{shard_name}/{member.name}", source, text, fault=fault)


def _caption(video: str, by_name: dict[str, Member], count: Counter[str], file: BinaryIO) -> str | Fault:
    for suffix, understand in ((".txt", caption_from_text), (".json", caption_from_json)):
        member = by_name.get(str(PurePosixPath(video).with_suffix(suffix)))
        if member is None:
            continue
        if member.fault is not None or count[member.name] > 1 or member.length > MAX_BYTES:
            return Fault("caption", f"{member.name} is not one plain file of at most {MAX_BYTES} bytes")
        file.seek(member.start)
        return understand(file.read(member.length))
    return ""
