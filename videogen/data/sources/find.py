"""Find the entries of a training set: a folder of captioned videos, a videofolder, a manifest, or WebDataset shards.

The result depends on names and captions alone, not on the order of a directory or the locale.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from videogen.data.sources.compressed import archive_suffix, unpack
from videogen.data.sources.entry import VIDEO_SUFFIXES, Entry, ReadFailure, is_video_name
from videogen.data.sources.folder import files_below, video_entries
from videogen.data.sources.manifest import manifest_entries
from videogen.data.sources.parquet import SUFFIX, cell_entries, video_column
from videogen.data.sources.videofolder import metadata_in, videofolder_entries
from videogen.data.sources.webdataset import shard_entries
from videogen.errors import DataError
from videogen.storage import Location, RemotePath, below
from videogen.storage.cache import cache_folder

INDEX_NAME = "videogen-index.jsonl"

MANIFESTS = (".csv", ".jsonl", SUFFIX)
FORMS = "a folder of videos or of .tar shards, a manifest (.csv, .jsonl, .parquet), or one .tar or .tar.gz"


def find_entries(data: Location) -> tuple[Entry, ...]:
    """The entries of the set at `data`, sorted by key; no video is opened."""
    refuse_other_forms(data)
    if is_folder(data):
        entries = _in_folder(data)
    elif data.suffix.lower() in MANIFESTS:
        entries = _in_table(data, data.name)
    else:
        entries = _in_shard(data, data.name)
    if not entries:
        raise DataError(f"{data}: holds no videos")
    return tuple(sorted(entries, key=lambda entry: entry.key))


def refuse_other_forms(data: Location) -> None:
    """DataError if there is no training set at `data`."""
    if not data.is_dir() and not data.is_file():
        raise DataError(f"{data}: {'not a regular file' if data.exists() else 'not found'}; expected {FORMS}")
    if data.is_file() and data.suffix.lower() not in MANIFESTS and not is_shard(data):
        raise DataError(f"{data}: not a training set; expected {FORMS}")


def is_folder(data: Location) -> bool:
    """Whether a set is a folder; of a URL its name says it, so that nothing has to be asked for."""
    if isinstance(data, RemotePath):
        return data.suffix.lower() not in MANIFESTS and not is_shard(data)
    return data.is_dir()


def root_of(data: Location) -> Location:
    """The folder that the paths of a set are relative to."""
    return data if is_folder(data) else data.parent


def default_index(data: Location) -> Path:
    """Where the index of a set is: in its folder, or beside the manifest or archive; of a URL, in the cache."""
    if isinstance(data, RemotePath):
        digest = hashlib.sha256(str(data).encode()).hexdigest()[:16]
        return cache_folder() / "indexes" / f"{data.name}-{digest}.{INDEX_NAME}"
    return data / INDEX_NAME if data.is_dir() else data.with_name(f"{data.name}.{INDEX_NAME}")


def _in_folder(folder: Location) -> list[Entry]:
    files = list(files_below(folder))
    shards = [path for path in files if is_shard(path)]
    if any(is_video_name(path.name) for path in files):
        if shards:
            raise DataError(f"{folder}: holds both videos and archives ({shards[0].name}); keep them apart")
        if tables := metadata_in(files):
            return videofolder_entries(folder, tables, files)
        return list(video_entries(folder, files))
    if not shards and (tables := [path for path in files if path.suffix.lower() == SUFFIX]):
        return [entry for table in tables for entry in cell_entries(table, below(table, folder))]
    if not shards:
        raise DataError(_nothing_in(folder, files))
    return [entry for shard in shards for entry in _in_shard(shard, below(shard, folder))]


def _in_table(table: Location, name: str) -> list[Entry]:
    """A manifest, or the videos in a Parquet file."""
    if table.suffix.lower() == SUFFIX and video_column(table) is not None:
        return list(cell_entries(table, name))
    return manifest_entries(table)


def is_shard(path: Location) -> bool:
    return path.suffix.lower() == ".tar" or archive_suffix(path.name) is not None


def _in_shard(shard: Location, name: str) -> list[Entry]:
    plain: Location | ReadFailure = shard
    if archive_suffix(shard.name) is not None:
        if isinstance(shard, RemotePath):
            raise DataError(f"{shard}: compressed, so it cannot be read by ranges; store it as a plain .tar")
        plain = unpack(shard)
    return [Entry(name, shard, "", failure=plain)] if isinstance(plain, ReadFailure) else shard_entries(plain, name)


def _nothing_in(folder: Location, files: Iterable[Location]) -> str:
    tables = [path for path in files if path.suffix.lower() in MANIFESTS and not path.name.endswith(INDEX_NAME)]
    hint = f"; did you mean the manifest {tables[0]}?" if tables else f"; looked for {' '.join(sorted(VIDEO_SUFFIXES))}"
    return f"{folder}: holds no videos and no .tar shards{hint}"
