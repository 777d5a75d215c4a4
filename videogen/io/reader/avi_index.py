"""How many frames the index at the end of an AVI file lists, to check the count in its header.

Some programs write one frame too many into the header. A file that was cut off has lost its index, which comes last.
"""

from typing import BinaryIO

import numpy as np

ENTRY = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])
VIDEO_CHUNKS = (b"dc", b"db")  # suffixes of the chunk names of a video track: compressed, and not
MOST_BYTES = 1 << 28  # of an index that is read: 16 million entries


def listed_frames(file: BinaryIO) -> int | None:
    """How many entries of `idx1` hold a frame; None if the file is not an AVI or has no such index."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"AVI ":
        return None
    place, end = 12, 8 + int.from_bytes(head[4:8], "little")
    while place < end:
        file.seek(place)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"idx1":
            return _count_frames(file.read(length)) if length <= MOST_BYTES and length % ENTRY.itemsize == 0 else None
        if len(chunk) < 8:
            return None
        place += 8 + length + length % 2
    return None


def _count_frames(index: bytes) -> int | None:
    if len(index) % ENTRY.itemsize:
        return None
    entries = np.frombuffer(index, ENTRY)
    return int(sum(name[2:] in VIDEO_CHUNKS for name in entries["name"][entries["size"] > 0]))
