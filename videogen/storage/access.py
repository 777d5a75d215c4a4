"""The calls to fsspec: listings, sizes and ranges, each repeated while a connection breaks."""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from videogen.errors import UsageError
from videogen.storage.errors import MissingObjectError, StorageError, final_error

T = TypeVar("T")
PATIENCE = "VIDEOGEN_STORAGE_SECONDS"  # how long to try again before a run ends
REQUEST_SECONDS = 60.0  # of one request, after which it counts as broken
LISTING_SECONDS = 1200.0  # of a whole listing, which is many requests
SLOWEST = 2**20  # bytes a second of a whole file, below which it counts as broken
SHORTEST, LONGEST = 0.1, 20.0  # seconds between tries
VERSIONS = ("ETag", "etag", "generation", "lfs", "blob_id", "md5Hash", "Content-MD5", "Digest")
TIMES = ("LastModified", "Last-Modified", "mtime", "modified", "updated", "created")


@dataclass(frozen=True)
class ObjectStat:
    """Size in bytes and what the store calls a version, such as an ETag: equal for an object that has not changed."""

    size: int
    version: str


def listing(url: str) -> Iterator[tuple[str, ObjectStat | None]]:
    """The path of each object below a URL, sorted, with what the listing says of it if it says enough."""

    def find() -> tuple[str, Mapping[str, Any]]:
        files, path = file_system(url)
        return path.rstrip("/"), files.find(path, detail=True, **time_limit(files, LISTING_SECONDS))

    root, found = with_retries(url, find)
    for path in sorted(found):
        if found[path].get("type") == "file" and path.startswith(root + "/") and not path.endswith("/"):
            size, version = found[path].get("size"), _version(found[path], times=False)
            yield path[len(root) + 1 :], None if size is None or version is None else ObjectStat(int(size), version)


def is_folder(url: str) -> bool:
    return _asked(url, lambda files, path: bool(files.isdir(path, **time_limit(files))))


def is_object(url: str) -> bool:
    return _asked(url, lambda files, path: bool(files.isfile(path, **time_limit(files))))


def exists(url: str) -> bool:
    return _asked(url, lambda files, path: bool(files.exists(path, **time_limit(files))))


def stat_of(url: str) -> ObjectStat:
    """What the store says of an object now; MissingObjectError if there is none."""
    return with_retries(url, lambda: look_at(url))


def look_at(url: str) -> ObjectStat:
    """The same with a single try; any exception of the file system."""
    files, path = file_system(url)
    known = files.info(path, **time_limit(files))
    if known.get("type") != "file":
        raise MissingObjectError(f"{url}: a folder, not an object")
    if known.get("size") is None:
        raise MissingObjectError(f"{url}: the server does not say how large it is, so it cannot be read by ranges")
    return ObjectStat(int(known["size"]), _version(known) or "")


def read_range(url: str, start: int, end: int) -> bytes:
    """Bytes start .. end - 1; any exception of the file system."""
    files, path = file_system(url)
    data: bytes = files.cat_file(path, start=start, end=end, **time_limit(files))
    return data


def with_retries(url: str, action: Callable[[], T]) -> T:
    """The result of the action, which is tried again after longer and longer waits while connections break."""
    until, wait = time.monotonic() + patience(), SHORTEST
    while True:
        try:
            return action()
        except Exception as error:
            final = final_error(url, error)
            if final is not None:
                raise final from None
            if time.monotonic() + wait > until:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise StorageError(f"{url}: does not answer after {patience():g} s of tries ({reason})") from None
        time.sleep(wait * random.uniform(0.5, 1.0))  # workers that broke together come back apart
        wait = min(2 * wait, LONGEST)


def patience() -> float:
    given = os.environ.get(PATIENCE, "120")
    try:
        return float(given)
    except ValueError:
        raise UsageError(f"{PATIENCE} is {given!r}; expected seconds, such as 120") from None


def _asked(url: str, question: Callable[[Any, str], bool]) -> bool:
    try:
        return with_retries(url, lambda: question(*file_system(url)))
    except MissingObjectError:
        return False


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, without a cache of listings, because objects change; and the path in it."""
    from fsspec.core import url_to_fs

    files, path = url_to_fs(url, use_listings_cache=False)
    if not hasattr(files.dircache, "use_listings_cache"):  # that of the hub keeps what it has seen
        files.invalidate_cache()
    return files, path


def time_limit(files: Any, seconds: float = 0.0, size: int = 0) -> dict[str, float]:
    """The time limit of a call, for a transfer of so many bytes, as an argument; some systems have their own limits."""
    limit = max(seconds, REQUEST_SECONDS + size / SLOWEST)
    return {"timeout": limit} if getattr(files, "async_impl", False) else {}


def _version(known: Mapping[str, Any], times: bool = True) -> str | None:
    for name in VERSIONS + (TIMES if times else ()):
        value = known.get(name)
        if name == "lfs" and value is not None:
            value = value.get("sha256") if isinstance(value, dict) else getattr(value, "sha256", None)
        if value:
            return str(value).strip('"')
    return None
