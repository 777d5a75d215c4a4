"""Whole files to a bucket and back."""

from contextlib import suppress
from pathlib import Path

from videogen.errors import DataError
from videogen.storage.access import file_system, look_at, time_limit, with_retries
from videogen.storage.errors import MissingObjectError
from videogen.storage.location import RemotePath


def upload(place: Path, target: RemotePath) -> None:
    """Put a file at a URL, whole; what is there is replaced in one step, as stores of objects do."""

    def put() -> None:
        files, path = file_system(target.url)
        size = place.stat().st_size
        try:
            files.put_file(str(place), path, **time_limit(files, size=size))
        except FileNotFoundError:  # a server with real folders
            files.makedirs(path.rpartition("/")[0], exist_ok=True, **time_limit(files))
            files.put_file(str(place), path, **time_limit(files, size=size))

    with_retries(target.url, put)


def download(source: RemotePath, place: Path) -> None:
    """Write an object into a file, which appears when it is whole."""
    partial = place.with_name(f".{place.name}.partial")
    place.parent.mkdir(parents=True, exist_ok=True)

    def get() -> None:
        size = look_at(source.url).size
        files, path = file_system(source.url)
        files.get_file(path, str(partial), **time_limit(files, size=size))
        if partial.stat().st_size != size:
            raise ConnectionError(f"{partial.stat().st_size} of {size} bytes came")

    try:
        with_retries(source.url, get)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def remove(target: RemotePath) -> None:
    """Delete an object, if it is there."""

    def delete() -> None:
        files, path = file_system(target.url)
        files.rm_file(path, **time_limit(files))

    with suppress(MissingObjectError):
        with_retries(target.url, delete)


def refuse_read_only(url: RemotePath) -> None:
    """DataError for a server that takes no files."""
    if url.url.partition("://")[0] in ("http", "https"):
        raise DataError(f"{url}: a server of this kind takes no files; name a bucket, such as s3://bucket/runs")
