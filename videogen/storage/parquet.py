"""Videos that are values in a Parquet file, taken out once and kept in the bounded cache.

Pages are compressed, so a value has no place in the file: the first read of one goes through its row group, value by
value, and keeps each in the cache.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from videogen.errors import DataError, UsageError
from videogen.storage.access import ObjectStat
from videogen.storage.cache import BlockCache
from videogen.storage.location import Location, RemotePath

BUFFER = 1 << 20  # bytes of a column that are read at a time


@contextmanager
def open_parquet(path: Location) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`; UsageError without pyarrow, DataError for another file."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet needs pyarrow; pip install -e '.[parquet]'") from None
    with path.open("rb") as file:
        try:
            opened = pyarrow.parquet.ParquetFile(file, buffer_size=BUFFER)
        except pyarrow.lib.ArrowException as error:
            raise DataError(f"{path}: not a Parquet file ({' '.join(str(error).split())})") from None
        with opened:
            yield opened


def value_at(path: Location, row_group: int, row: int, column: str) -> bytes | None:
    """The bytes in a row of the struct `column`, counted within its row group; None where it is null."""
    cache, stat = BlockCache(), _stat(path)
    kept = cache.get(_key(path, stat, row_group, row, column))
    if kept is not None:
        return kept
    found = None
    with open_parquet(path) as file:
        batches = file.iter_batches(1, row_groups=[row_group], columns=[f"{column}.bytes"], use_threads=False)
        for number, batch in enumerate(batches):
            value = batch.column(0)[0].as_py()["bytes"]
            if value is not None:
                cache.put(_key(path, stat, row_group, number, column), value)
            found = value if number == row else found
    return found


def _stat(path: Location) -> ObjectStat:
    if isinstance(path, RemotePath):
        return path.known or path.stat()
    status = Path(path).stat()
    return ObjectStat(status.st_size, str(status.st_mtime_ns))


def _key(path: Location, stat: ObjectStat, row_group: int, row: int, column: str) -> str:
    place = str(path) if isinstance(path, RemotePath) else str(path.absolute())
    return hashlib.sha256(json.dumps([place, stat.size, stat.version, row_group, row, column]).encode()).hexdigest()
