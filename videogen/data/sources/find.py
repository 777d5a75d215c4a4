"""Find the entries of a training set: a folder of captioned videos, a videofolder, a manifest, or WebDataset shards.

The result depends on names and captions alone, not on the order of a directory or the locale.
"""

from collections.abc import Iterable
from pathlib import Path

from videogen.data.sources.compressed import archive_suffix, unpack
from videogen.data.sources.entry import VIDEO_SUFFIXES, Entry, ReadFailure, is_video_name
from videogen.data.sources.folder import files_below, video_entries
from videogen.data.sources.manifest import manifest_entries
from videogen.data.sources.videofolder import metadata_in, refuse_parquet, videofolder_entries
from videogen.data.sources.webdataset import shard_entries
from videogen.errors import DataError

INDEX_NAME = "videogen-index.jsonl"

MANIFESTS = (".csv", ".jsonl")
FORMS = "a folder of videos or of .tar shards, a manifest (.csv, .jsonl), or one .tar or .tar.gz"


def find_entries(data: Path) -> tuple[Entry, ...]:
    """The entries of the set at `data`, sorted by key; no video is opened."""
    refuse_other_forms(data)
    if data.is_dir():
        entries = _in_folder(data)
    elif data.suffix.lower() in MANIFESTS:
        entries = manifest_entries(data)
    else:
        entries = _in_shard(data, data.name)
    if not entries:
        raise DataError(f"{data}: holds no videos")
    return tuple(sorted(entries, key=lambda entry: entry.key))


def refuse_other_forms(data: Path) -> None:
    """DataError if there is no training set at `data`."""
    if not data.is_dir() and not data.is_file():
        raise DataError(f"{data}: {'not a regular file' if data.exists() else 'not found'}; expected {FORMS}")
    if data.is_file() and data.suffix.lower() not in MANIFESTS and not is_shard(data):
        raise DataError(f"{data}: not a training set; expected {FORMS}")


def root_of(data: Path) -> Path:
    """The folder that the paths of a set are relative to."""
    return data if data.is_dir() else data.parent


def default_index(data: Path) -> Path:
    """Where the index of a set is: in its folder, or beside the manifest or archive."""
    return data / INDEX_NAME if data.is_dir() else data.with_name(f"{data.name}.{INDEX_NAME}")


def _in_folder(folder: Path) -> list[Entry]:
    files = list(files_below(folder))
    shards = [path for path in files if is_shard(path)]
    if any(is_video_name(path.name) for path in files):
        if shards:
            raise DataError(f"{folder}: holds both videos and archives ({shards[0].name}); keep them apart")
        if tables := metadata_in(files):
            return videofolder_entries(folder, tables, files)
        refuse_parquet(files)
        return list(video_entries(folder, files))
    if not shards:
        raise DataError(_nothing_in(folder, files))
    return [entry for shard in shards for entry in _in_shard(shard, shard.relative_to(folder).as_posix())]


def is_shard(path: Path) -> bool:
    return path.suffix.lower() == ".tar" or archive_suffix(path.name) is not None


def _in_shard(shard: Path, name: str) -> list[Entry]:
    plain = shard if archive_suffix(shard.name) is None else unpack(shard)
    return [Entry(name, shard, "", failure=plain)] if isinstance(plain, ReadFailure) else shard_entries(plain, name)


def _nothing_in(folder: Path, files: Iterable[Path]) -> str:
    tables = [path for path in files if path.suffix.lower() in MANIFESTS and not path.name.endswith(INDEX_NAME)]
    hint = f"; did you mean the manifest {tables[0]}?" if tables else f"; looked for {' '.join(sorted(VIDEO_SUFFIXES))}"
    return f"{folder}: holds no videos and no .tar shards{hint}"
