"""Checks of sizes, checksums and counters of a container, which FFmpeg ignores.

Decoders of VP8, VP9 and FFV1 make frames of any bytes, and a file that was cut between two frames is only shorter. But
boxes must tile an MP4, clusters of a Matroska file have checksums, transport streams have packets of one size, and RIFF
and GIF say where they end.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from videogen.io.errors import VideoError

CHUNK = 1 << 20
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"uuid", b"pnot")
EBML, SEGMENT, CRC32 = 0x1A45DFA3, 0x18538067, 0xBF


class ContainerError(Exception):
    """Kind and detail of a VideoError, without the name of the file."""


def check_container(file: BinaryIO, name: str) -> None:
    """VideoError if the file contradicts itself; other kinds of containers pass unchecked."""
    file.seek(0)
    head = file.read(16)
    size = file.seek(0, 2)
    try:
        if head[4:8] in MP4_BOXES:
            _check_mp4(file, size)
        elif head.startswith(EBML.to_bytes(4, "big")):
            _check_matroska(file, size)
        elif head.startswith(b"RIFF"):
            _check_riff(size, int.from_bytes(head[4:8], "little"))
        elif head.startswith(b"GIF8"):
            _check_gif(file, size)
        elif head[:1] == b"\x47":
            _check_transport(file, size)
    except ContainerError as error:
        raise VideoError(error.args[0], name, error.args[1]) from None
    finally:
        file.seek(0)


def _check_mp4(file: BinaryIO, size: int) -> None:
    """Boxes tile the file; the numbers of fragments increase."""
    place, fragment = 0, 0
    while place < size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # the last box may run to the end of the file
            return
        if length < 8 or place + length > size:
            raise ContainerError("truncated", f"the box at byte {place} does not end where it says")
        if head[4:8] == b"moof":
            file.seek(place + 20)  # sequence_number of the `mfhd` that comes first
            number = int.from_bytes(file.read(4), "big")
            if number <= fragment:
                raise ContainerError("corrupt", f"fragment {number} comes after fragment {fragment}")
            fragment = number
        place += length


def _check_matroska(file: BinaryIO, size: int) -> None:
    """Elements tile the segment; checksums hold."""
    for identity, start, length in _elements(file, 0, size):
        if identity != SEGMENT:
            continue
        if length is None:  # written live: the ends of the segment and its clusters are unknown
            return
        for _, begin, extent in _elements(file, start, start + length):
            if extent is None:
                return
            _check_sum(file, begin, extent)


def _elements(file: BinaryIO, place: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """(identity, start of the content, its length or None if unknown) of the elements that tile a range."""
    while place < end:
        file.seek(place)
        head = file.read(12)
        identity_bytes = _width(head, 0)
        size_bytes = _width(head, identity_bytes)
        start = place + identity_bytes + size_bytes
        field = head[identity_bytes : identity_bytes + size_bytes]
        marker = 1 << (7 * size_bytes)
        length = int.from_bytes(field, "big") - marker
        unknown = length == marker - 1
        if start > end or (not unknown and start + length > end):
            raise ContainerError("truncated", f"the element at byte {place} does not end where it says")
        yield int.from_bytes(head[:identity_bytes], "big"), start, None if unknown else length
        if unknown:
            return
        place = start + length


def _width(head: bytes, place: int) -> int:
    """Bytes of the variable-length number at `place`: one more than its leading zero bits."""
    if place >= len(head) or head[place] == 0:
        raise ContainerError("corrupt", "an element of the container cannot be read")
    return 9 - head[place].bit_length()


def _check_sum(file: BinaryIO, start: int, length: int) -> None:
    file.seek(start)
    head = file.read(min(6, length))
    if len(head) < 6 or head[0] != CRC32 or head[1] != 0x84:
        return
    left, found = length - 6, 0
    while left > 0:
        piece = file.read(min(CHUNK, left))
        if not piece:
            raise ContainerError("truncated", "an element of the container is cut off")
        found, left = zlib.crc32(piece, found), left - len(piece)
    if found != int.from_bytes(head[2:6], "little"):
        raise ContainerError("corrupt", f"the checksum of the {length} bytes from byte {start} does not fit")


def _check_riff(size: int, promised: int) -> None:
    """The first chunk spans the file; above 1 GB more chunks follow it."""
    if promised not in (0, 0xFFFFFFFF) and size < promised + 8:
        raise ContainerError("truncated", f"{size} of {promised + 8} bytes")


def _check_gif(file: BinaryIO, size: int) -> None:
    """Blocks lead from the header to the end mark."""
    for _ in gif_blocks(file, size):
        pass


def gif_images(file: BinaryIO) -> int | None:
    """How many images a whole GIF holds; None for another kind of file."""
    file.seek(0)
    if file.read(4) != b"GIF8":
        return None
    size = file.seek(0, 2)
    return sum(kind[:1] == b"," for kind, _, _ in gif_blocks(file, size))


def gif_blocks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(its first two bytes, start and end of its parts) of each block; ContainerError if they do not tile the file."""
    if size < 13:
        raise ContainerError("truncated", "the header does not end")
    file.seek(10)
    flags = file.read(3)[0]
    place = 13 + _palette_bytes(flags)
    while place < size:
        file.seek(place)
        kind = file.read(2)
        if kind[:1] == b";":
            return
        if kind[:1] == b"!":
            place += 2
        elif kind[:1] == b",":
            file.seek(place + 9)
            place += 11 + _palette_bytes(file.read(1)[0] if place + 9 < size else 0)
        else:
            raise ContainerError("corrupt", f"no block begins at byte {place}")
        start, place = place, _after_parts(file, place, size)
        yield kind, start, place
    raise ContainerError("truncated", "the end mark is missing")


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_parts(file: BinaryIO, place: int, size: int) -> int:
    while place < size:
        file.seek(place)
        length = file.read(1)[0]
        place += 1 + length
        if length == 0:
            return place
    raise ContainerError("truncated", "a block runs over the end of the file")


def _check_transport(file: BinaryIO, size: int) -> None:
    """Packets have 188 bytes, begin with the sync byte, and their counters have no gap."""
    file.seek(188)
    if file.read(1) != b"\x47":
        return  # another format that begins with this byte
    if size % 188:
        raise ContainerError("truncated", f"{size} bytes are not a whole number of packets")
    file.seek(0)
    counters: dict[int, int] = {}
    place = 0
    while piece := file.read(188 * 4096):
        for offset in range(0, len(piece), 188):
            _check_packet(piece[offset : offset + 4], place + offset, counters)
        place += len(piece)


def _check_packet(head: bytes, place: int, counters: dict[int, int]) -> None:
    if head[0] != 0x47 or head[1] & 0x80:
        raise ContainerError("corrupt", f"the packet at byte {place} is damaged")
    track, with_content, counter = (head[1] & 0x1F) << 8 | head[2], head[3] & 0x10, head[3] & 0x0F
    if track == 0x1FFF or not with_content:  # padding and clock packets are not counted
        return
    expected = (counters.get(track, counter - 1) + 1) & 0x0F
    if counter not in (expected, (expected - 1) & 0x0F):  # the standard lets a packet come twice
        raise ContainerError("corrupt", f"a packet is missing before byte {place}")
    counters[track] = counter
