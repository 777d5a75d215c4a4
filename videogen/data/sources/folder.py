"""A folder of videos with captions beside them: `clip.mp4` and `clip.txt`.

Links are followed, hidden files and folders are skipped, suffixes may be upper case, and videos that share a stem share
the caption. The key is the path below the folder, with `/`.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from videogen.data.sources.captions import MAX_BYTES, caption_from_text
from videogen.data.sources.entry import Entry, ReadFailure, is_video_name


def files_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Every file below the folder that is not hidden; a link back to a folder above it is not followed."""
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
            yield from files_below(Path(item.path), above | {here})
        else:
            yield Path(item.path)


def video_entries(root: Path, files: Iterable[Path]) -> Iterator[Entry]:
    """The entries of the videos among `files`, which are below `root`."""
    files = sorted(files)
    captions = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".txt"}  # .txt wins over .TXT
    for path in files:
        if is_video_name(path.name):
            caption = _caption_at(captions.get(path.with_suffix("")))
            key = path.relative_to(root).as_posix()
            if isinstance(caption, ReadFailure):
                yield Entry(key, path, "", failure=caption)
            else:
                yield Entry(key, path, caption)


def _caption_at(path: Path | None) -> str | ReadFailure:
    if path is None:
        return ""
    try:
        if not path.is_file():
            return ReadFailure("caption", f"{path.name} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        return ReadFailure("caption", f"{path.name} cannot be read ({error.strerror})")
    if len(raw) > MAX_BYTES:
        return ReadFailure("caption", f"{path.name} is larger than {MAX_BYTES} bytes")
    return caption_from_text(raw)
