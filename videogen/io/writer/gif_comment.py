"""Comments in GIF files: a block of text before the end mark, which FFmpeg neither writes nor reads."""

from pathlib import Path
from typing import BinaryIO

from videogen.io.reader.container_checks import ContainerError, gif_blocks

END, COMMENT, PART = b";", b"!\xfe", 255
MOST = 1 << 20  # longest comment in bytes that is read


def add_comment(path: str | Path, text: str) -> None:
    """Add a comment at the end of a GIF; a file without an end mark stays as it is."""
    raw = text.encode("ascii")
    parts = [raw[start : start + PART] for start in range(0, len(raw), PART)]
    with Path(path).open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        if size and file.read(1) == END:
            file.seek(size - 1)
            file.write(COMMENT + b"".join(bytes([len(part)]) + part for part in parts) + b"\0" + END)


def read_comment(file: BinaryIO) -> str | None:
    """The last comment of a GIF; None without one, or if its blocks do not lead to the end mark."""
    size = file.seek(0, 2)
    comment = None
    try:
        for kind, start, end in gif_blocks(file, size):
            if kind == COMMENT and end - start <= MOST:
                file.seek(start)
                comment = _joined(file.read(end - start))
    except ContainerError:
        return None
    return comment


def _joined(parts: bytes) -> str:
    text, place = b"", 0
    while place < len(parts) and parts[place]:
        text += parts[place + 1 : place + 1 + parts[place]]
        place += 1 + parts[place]
    return text.decode("ascii", "replace")
