"""A videofolder of the Hugging Face hub: videos, and beside or above them a metadata.jsonl, .csv or .parquet.

`file_name` is relative to the metadata, and captions are under `text`, `caption` or `prompt`. There may be metadata in
several folders, such as `train` and `test`. The key is the path below the folder of the set.
"""

from collections.abc import Sequence
from dataclasses import replace

from videogen.data.sources.entry import Entry, ReadFailure, is_video_name
from videogen.data.sources.manifest import is_metadata, manifest_entries
from videogen.errors import DataError
from videogen.storage import Location, below

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def metadata_in(files: Sequence[Location]) -> list[Location]:
    """The metadata files among the files of a folder; they have a column `file_name`."""
    return [path for path in files if path.name in NAMES and is_metadata(path)]


def videofolder_entries(root: Location, tables: Sequence[Location], files: Sequence[Location]) -> list[Entry]:
    """The clips that the metadata lists; a video that is not listed has no caption and is refused."""
    entries = [_below(root, table, entry) for table in tables for entry in manifest_entries(table)]
    keys = [entry.key for entry in entries]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"{root}: {twice} is listed in several metadata files; keep one of them")
    listed = {entry.source for entry in entries}
    names = ", ".join(below(table, root) for table in tables)
    for path in files:
        if is_video_name(path.name) and path not in listed:
            failure = ReadFailure("caption", f"not listed in {names}")
            entries.append(Entry(below(path, root), path, "", failure=failure))
    return entries


def _below(root: Location, table: Location, entry: Entry) -> Entry:
    folder = below(table.parent, root)
    return entry if folder == "." else replace(entry, key=f"{folder}/{entry.key}")
