"""A token set in a bucket: its shards are copied once into the cache, each checked by the hash that it carries.

Rows are read through a mapping of the file, so shards have to be files; a token is a few bytes, so they are small.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from videogen.checkpoint import sha256_of
from videogen.errors import DataError
from videogen.storage import RemotePath
from videogen.storage.cache import cache_folder
from videogen.tokens.description import NAME, read_description
from videogen.tokens.shards import labels_at, tensors_at

REQUESTS = 4  # shards that are copied at a time


def local_tokens(url: RemotePath) -> Path:
    """The folder that holds a copy of the set; what is there already is not copied again."""
    description = read_description(url)
    raw = (url / NAME).read_bytes()
    folder = cache_folder() / "tokens" / hashlib.sha256(f"{url}\n".encode() + raw).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(REQUESTS) as pool:
        for _ in pool.map(lambda number: _copy_shard(url, folder, number), range(description.shards)):
            pass
    _write(folder / NAME, raw)
    return folder


def _copy_shard(url: RemotePath, folder: Path, number: int) -> None:
    tensors, labels = tensors_at(folder, number), labels_at(folder, number)
    raw = (url / labels.name).read_bytes()
    try:
        expected = json.loads(raw)["sha256"]
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{url / labels.name}: damaged; copy the token set into the bucket again") from None
    if tensors.is_file() and labels.is_file() and labels.read_bytes() == raw and sha256_of(tensors) == expected:
        return
    content = (url / tensors.name).read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise DataError(f"{url / tensors.name}: not the bytes that were written; copy the set into the bucket again")
    _write(tensors, content)
    _write(labels, raw)


def _write(place: Path, content: bytes) -> None:
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(place)
