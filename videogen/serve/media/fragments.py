"""Fragments of an mp4, made as they are needed: `moof` and `mdat` around H.264 pictures (ISO/IEC 14496-12).

FFmpeg's own muxer ends a fragment when it sees the next picture, so that each would be shown one picture late, and
late viewers and downloads would need the film to be muxed anew. The header is FFmpeg's; these few boxes are ours.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

KEY, OTHER = 0x02000000, 0x01010000  # sample flags: depends on no other picture; depends on others, no place to begin
TIME_AT = 68  # where in a fragment its time stands
BIG = struct.Struct(">Q")


@dataclass(frozen=True)
class Fragment:
    """Pictures that came together, as they are sent: one fragment, beginning with a key picture or not."""

    first: int  # number of its first picture
    count: int
    key: bool
    data: bytes = field(repr=False)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def fragment(first: int, key: bool, pictures: Sequence[bytes], ticks: int) -> bytes:
    """Of pictures in H.264 with lengths in place of start codes, each shown for so many ticks of the track's clock."""
    numbered = box(b"mfhd", struct.pack(">II", 0, first + 1))
    track = box(b"tfhd", struct.pack(">IIII", 0x020028, 1, ticks, OTHER))  # offsets from here, a duration, flags
    time = box(b"tfdt", struct.pack(">IQ", 0x01000000, first * ticks))
    sizes = struct.pack(f">{len(pictures)}I", *map(len, pictures))
    begins = struct.pack(">I", KEY if key else OTHER)
    head = 8 + len(numbered) + 8 + len(track) + len(time) + 8 + 12 + len(begins) + len(sizes)
    run = box(b"trun", struct.pack(">III", 0x000205, len(pictures), head + 8), begins, sizes)
    return box(b"moof", numbered, box(b"traf", track, time, run)) + box(b"mdat", *pictures)


def earlier(data: bytes, ticks: int) -> bytes:
    """The same fragment, shown so many ticks earlier."""
    (time,) = BIG.unpack_from(data, TIME_AT)
    return data[:TIME_AT] + BIG.pack(time - ticks) + data[TIME_AT + BIG.size :]


def with_lengths(picture: bytes) -> bytes:
    """A coded picture with its parts' lengths before them, where encoders put start codes."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts_of(picture))


def parts_of(picture: bytes) -> list[bytes]:
    """What stands between the start codes 00 00 01; a zero before one belongs to it."""
    parts, begin = [], picture.find(b"\0\0\1")
    while begin >= 0:
        end = picture.find(b"\0\0\1", begin + 3)
        parts.append(picture[begin + 3 : end if end >= 0 else len(picture)].rstrip(b"\0"))
        begin = end
    return parts


def codec_of(header: bytes) -> str:
    """The codec by the name that browsers know, from the header's own description."""
    profile = header.index(b"avcC") + 5
    return "avc1." + header[profile : profile + 3].hex().upper()


def contents_first(film: bytes) -> bytes:
    """The same mp4 with its table of contents (moov) before the pictures (mdat), so that players can begin at once."""
    boxes = boxes_of(film, 0, len(film))
    contents = next(film[begin:end] for kind, begin, end in boxes if kind == b"moov")
    pictures = next(begin for kind, begin, _ in boxes if kind == b"mdat")
    first = next(begin for kind, begin, _ in boxes if kind in (b"mdat", b"free") and begin <= pictures)
    rest = b"".join(film[begin:end] for kind, begin, end in boxes if begin >= first and kind != b"moov")
    return film[:first] + moved(contents, len(contents)) + rest


def moved(contents: bytes, by: int) -> bytes:
    """A table of contents of pictures that stand so many bytes later."""
    begin, end, found = 0, len(contents), bytearray(contents)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco"):
        begin, end = next((begin + 8, end) for name, begin, end in boxes_of(contents, begin, end) if name == kind)
    count, *places = struct.unpack(f">{(end - begin - 4) // 4}I", contents[begin + 4 : end])
    struct.pack_into(f">{count}I", found, begin + 8, *(place + by for place in places))
    return bytes(found)


def boxes_of(data: bytes, begin: int, end: int) -> list[tuple[bytes, int, int]]:
    """The kind, the beginning and the end of each box there."""
    found = []
    while begin < end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        found.append((kind, begin, begin + size))
        begin += size
    return found
