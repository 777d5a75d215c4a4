"""Compressed shards, unpacked once into plain tars in a hidden folder beside them.

Clips are read at random, which compression does not allow. Videos hardly shrink, so the tars take about as much space
again. An unpacked shard has the time of the compressed one: when that changes, it is unpacked again.
"""

import bz2
import gzip
import lzma
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from videogen.data.sources.entry import ReadFailure
from videogen.errors import DataError

FOLDER = ".videogen-unpacked"
OPENERS: dict[str, Callable[..., Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
}
UNREADABLE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def archive_suffix(name: str) -> str | None:
    """The suffix of a compressed shard; None for other files."""
    return next((suffix for suffix in OPENERS if name.lower().endswith(suffix)), None)


def unpack(shard: Path) -> Path | ReadFailure:
    """The plain tar of a compressed shard, made if it is missing; a ReadFailure if the shard is damaged."""
    suffix = archive_suffix(shard.name)
    assert suffix is not None, shard
    target = shard.parent / FOLDER / f"{shard.name}.tar"
    time = shard.stat().st_mtime_ns
    if target.is_file() and target.stat().st_mtime_ns == time:
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(exist_ok=True)
        with OPENERS[suffix](shard, "rb") as packed, partial.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
        os.utime(partial, ns=(time, time))
        partial.replace(target)
    except UNREADABLE as error:
        return ReadFailure("shard", f"cannot be unpacked: {str(error) or type(error).__name__}")
    except PermissionError:
        raise DataError(f"{target.parent}: cannot be written; unpack {shard.name} into a plain .tar yourself") from None
    finally:
        partial.unlink(missing_ok=True)
    return target
