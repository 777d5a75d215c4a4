"""A folder of videos with captions beside them: `clip.mp4` and `clip.txt`.

Links are followed, hidden files and folders are skipped, suffixes may be upper case, and videos that share a stem share
the caption. The key is the path below the folder, with `/`.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from videogen.data.sources.captions import MAX_BYTES, caption_from_text
from videogen.data.sources.entry import Entry, ReadFailure, is_video_name
from videogen.storage import Location, RemotePath, below

REQUESTS = 16  # captions of a remote set that are read at a time


def files_below(folder: Location) -> Iterator[Location]:
    """Every file below the folder that is not hidden; a link back to a folder above it is not followed."""
    return folder.files() if isinstance(folder, RemotePath) else _local_files(folder)


def _local_files(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as listing:
        found = sorted(listing, key=lambda item: item.name)
    for item in found:
        if item.name.startswith("."):
            continue
        if item.is_dir():
            yield from _local_files(Path(item.path), above | {here})
        else:
            yield Path(item.path)


def video_entries(root: Location, files: Iterable[Any]) -> Iterator[Entry]:
    """The entries of the videos among `files`, which are below `root`."""
    files = sorted(files)
    beside = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".txt"}  # .txt wins over .TXT
    videos = [path for path in files if is_video_name(path.name)]
    with ThreadPoolExecutor(REQUESTS if isinstance(root, RemotePath) else 1) as pool:
        captions = pool.map(_caption_at, [beside.get(path.with_suffix("")) for path in videos])
        for path, caption in zip(videos, captions, strict=True):
            key = below(path, root)
            if isinstance(caption, ReadFailure):
                yield Entry(key, path, "", failure=caption)
            else:
                yield Entry(key, path, caption)


def _caption_at(path: Location | None) -> str | ReadFailure:
    if path is None:
        return ""
    try:
        if isinstance(path, Path) and not path.is_file():
            return ReadFailure("caption", f"{path.name} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        return ReadFailure("caption", f"{path.name} cannot be read ({error.strerror})")
    if len(raw) > MAX_BYTES:
        return ReadFailure("caption", f"{path.name} is larger than {MAX_BYTES} bytes")
    return caption_from_text(raw)
