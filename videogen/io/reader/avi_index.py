"""How many pictures the index at the end of an AVI file lists: a second opinion on the count in its header.

Some programs write one frame too many into the header. A file that was cut off has lost its index, which comes last.
"""

from typing import BinaryIO

import numpy as np

ENTRY = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])
PICTURES = (b"dc", b"db")  # how the names of a picture track's chunks end: compressed, and not
MOST_BYTES = 1 << 28  # of an index that is looked at: 16 million entries


def listed_frames(file: BinaryIO) -> int | None:
    """Entries of `idx1` that hold a picture, of all tracks; None for what is no AVI, or has no such index."""
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
            return _pictures(file.read(length)) if length <= MOST_BYTES and length % ENTRY.itemsize == 0 else None
        if len(chunk) < 8:
            return None
        place += 8 + length + length % 2
    return None


def _pictures(index: bytes) -> int | None:
    if len(index) % ENTRY.itemsize:
        return None
    entries = np.frombuffer(index, ENTRY)
    return int(sum(name[2:] in PICTURES for name in entries["name"][entries["size"] > 0]))
