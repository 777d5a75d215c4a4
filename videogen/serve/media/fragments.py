"""Boxes of a fragmented mp4: `moof` and `mdat` around H.264 frames (ISO/IEC 14496-12).

FFmpeg's muxer closes a fragment only when it sees the next frame, so each frame would be shown one frame late, and late
viewers and downloads would need another muxer. The header is FFmpeg's; the boxes here are made by hand.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

KEY, OTHER = 0x02000000, 0x01010000  # sample flags: depends on no other frame; depends on others and is no sync sample
TIME_OFFSET = 68  # of the decode time in a fragment
UINT64 = struct.Struct(">Q")


@dataclass(frozen=True)
class Fragment:
    """The frames of one latent frame, as they are sent."""

    first: int  # number of its first frame
    count: int
    key: bool  # whether its first frame is a key frame
    data: bytes = field(repr=False)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def make_fragment(first: int, key: bool, samples: Sequence[bytes], ticks: int) -> bytes:
    """A fragment of H.264 samples (NAL units with length prefixes), each of which lasts this many ticks."""
    sequence = box(b"mfhd", struct.pack(">II", 0, first + 1))
    track = box(b"tfhd", struct.pack(">IIII", 0x020028, 1, ticks, OTHER))  # default base, default duration, flags
    time = box(b"tfdt", struct.pack(">IQ", 0x01000000, first * ticks))
    sizes = struct.pack(f">{len(samples)}I", *map(len, samples))
    first_flags = struct.pack(">I", KEY if key else OTHER)
    head = 8 + len(sequence) + 8 + len(track) + len(time) + 8 + 12 + len(first_flags) + len(sizes)
    run = box(b"trun", struct.pack(">III", 0x000205, len(samples), head + 8), first_flags, sizes)
    return box(b"moof", sequence, box(b"traf", track, time, run)) + box(b"mdat", *samples)


def shift_earlier(data: bytes, ticks: int) -> bytes:
    """The same fragment, this many ticks earlier."""
    (time,) = UINT64.unpack_from(data, TIME_OFFSET)
    return data[:TIME_OFFSET] + UINT64.pack(time - ticks) + data[TIME_OFFSET + UINT64.size :]


def length_prefixed(packet: bytes) -> bytes:
    """The NAL units of an encoder's packet with their lengths in place of start codes."""
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in nal_units(packet))


def nal_units(packet: bytes) -> list[bytes]:
    """What stands between the start codes 00 00 01; a zero before a start code belongs to it."""
    units, begin = [], packet.find(b"\0\0\1")
    while begin >= 0:
        end = packet.find(b"\0\0\1", begin + 3)
        units.append(packet[begin + 3 : end if end >= 0 else len(packet)].rstrip(b"\0"))
        begin = end
    return units


def codec_string(header: bytes) -> str:
    """The codec as media types name it, from the `avcC` box."""
    profile = header.index(b"avcC") + 5
    return "avc1." + header[profile : profile + 3].hex().upper()


def faststart(mp4: bytes) -> bytes:
    """The same mp4 with its table of contents (`moov`) before the frames (`mdat`), so that players start at once."""
    boxes = boxes_in(mp4, 0, len(mp4))
    contents = next(mp4[begin:end] for kind, begin, end in boxes if kind == b"moov")
    frames = next(begin for kind, begin, _ in boxes if kind == b"mdat")
    first = next(begin for kind, begin, _ in boxes if kind in (b"mdat", b"free") and begin <= frames)
    rest = b"".join(mp4[begin:end] for kind, begin, end in boxes if begin >= first and kind != b"moov")
    return mp4[:first] + shift_chunk_offsets(contents, len(contents)) + rest


def shift_chunk_offsets(contents: bytes, shift: int) -> bytes:
    """A table of contents whose frames stand this many bytes later."""
    begin, end, shifted = 0, len(contents), bytearray(contents)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco"):
        begin, end = next((begin + 8, end) for name, begin, end in boxes_in(contents, begin, end) if name == kind)
    count, *offsets = struct.unpack(f">{(end - begin - 4) // 4}I", contents[begin + 4 : end])
    struct.pack_into(f">{count}I", shifted, begin + 8, *(offset + shift for offset in offsets))
    return bytes(shifted)


def boxes_in(data: bytes, begin: int, end: int) -> list[tuple[bytes, int, int]]:
    """Kind, first byte and end of each box between these bytes."""
    boxes = []
    while begin < end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        boxes.append((kind, begin, begin + size))
        begin += size
    return boxes
