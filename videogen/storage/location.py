"""Where a set is: a path on disk, or a URL of a bucket or server."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Union, cast
from urllib.parse import urlsplit

from videogen.errors import UsageError
from videogen.storage.access import ObjectStat, exists, is_folder, is_object, listing, stat_of
from videogen.storage.remote_file import RemoteFile

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
LOCAL = ("file", "local")


class RemotePath:
    """An object or folder at a URL, with those methods of `Path` that reading a set needs.

    `known` is what an index or a listing says of the object; an object that differs is not read.
    """

    __slots__ = ("known", "url")

    def __init__(self, url: str, known: ObjectStat | None = None) -> None:
        self.url, self.known = url.rstrip("/"), known

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePath({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __lt__(self, other: "RemotePath") -> bool:
        return self.url < other.url

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (self.url, self.known)

    def __truediv__(self, below: "str | PurePath") -> "RemotePath":
        """What is below; ValueError for a path that leads out."""
        path = PurePosixPath(below)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{str(below)!r} leads out of {self.url}")
        return self if path == PurePosixPath() else RemotePath(f"{self.url}/{path}")

    @property
    def name(self) -> str:
        return self._split()[1]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "RemotePath":
        above, _ = self._split()
        return RemotePath(above) if above else self

    def with_name(self, name: str) -> "RemotePath":
        return self.parent / name

    def with_suffix(self, suffix: str) -> "RemotePath":
        return self.with_name(PurePosixPath(self.name).with_suffix(suffix).name)

    def is_relative_to(self, root: object) -> bool:
        return isinstance(root, RemotePath) and (self.url == root.url or self.url.startswith(root.url + "/"))

    def relative_to(self, root: "RemotePath") -> PurePosixPath:
        assert self.is_relative_to(root), f"{self} is not below {root}"
        return PurePosixPath(self.url[len(root.url) + 1 :])

    def as_posix(self) -> str:
        return self.url

    def is_dir(self) -> bool:
        return is_folder(self.url)

    def is_file(self) -> bool:
        return is_object(self.url)

    def exists(self) -> bool:
        return exists(self.url)

    def stat(self) -> ObjectStat:
        """What the store says now."""
        return stat_of(self.url)

    def files(self) -> "Iterator[RemotePath]":
        """All objects below that are not hidden, in order, with what the listing says of them."""
        for name, known in listing(self.url):
            if not any(part.startswith(".") for part in PurePosixPath(name).parts):
                yield RemotePath(f"{self.url}/{name}", known)

    def pinned(self, known: ObjectStat | None) -> "RemotePath":
        """The same, to be read only as the object that is known."""
        return RemotePath(self.url, known)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The object as it is known, or as it is now if nothing is known of it."""
        assert mode == "rb", mode
        return io.BufferedReader(RemoteFile(self.url, self.known or self.stat()), buffer_size=1 << 16)

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def _split(self) -> tuple[str, str]:
        """The URL of the folder above, empty if there is none, and the name."""
        scheme, _, rest = self.url.partition("://")
        above, slash, name = rest.rpartition("/")
        return (f"{scheme}://{above}" if slash and above else ""), name


Location = Union[Path, RemotePath]  # noqa: UP007 - a configuration compares it as a type


def below(path: Location, root: Location) -> str:
    """The path from a root to what is below it, with `/`."""
    return path.relative_to(cast(Any, root)).as_posix()


def is_url(text: "str | os.PathLike[str] | RemotePath") -> bool:
    return _URL.match(str(text)) is not None


def location(value: "str | os.PathLike[str] | RemotePath") -> Location:
    """The path or URL that a user names; UsageError for a URL that is not read, or that holds a password."""
    if isinstance(value, RemotePath):
        return value
    if not isinstance(value, str) or not is_url(value):
        return Path(value)
    scheme, _, rest = value.partition("://")
    if scheme.lower() in LOCAL:
        raise UsageError(f"{value}: name the path itself, without {scheme}://")
    if "::" in value:
        raise UsageError(f"{value}: chained URLs are not read")
    if urlsplit(value).password is not None:
        raise UsageError(f"{scheme}://...: holds a password; set the variables of {scheme} instead")
    if "?" in rest or "#" in rest:
        raise UsageError(f"{value.partition('?')[0]}: URLs with ? or # are not read; name the object itself")
    if not rest.strip("/"):
        raise UsageError(f"{value}: names no bucket or server")
    return RemotePath(f"{scheme.lower()}://{rest}")
