"""Finds the files of a checkpoint and puts their tensors together."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.checkpoint_reader.safetensors_file import load_tensors
from videogen.checkpoint_reader.sandbox import read_archive
from videogen.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = ".safetensors"
ARCHIVES = (".ckpt", ".pt", ".pth", ".bin", ".jit")
INDEX = ".safetensors.index.json"
LARGEST_INDEX = 64 * 2**20
HALVES = ("encoder", "decoder")  # files of these names are one checkpoint


@dataclass(frozen=True)
class Checkpoint:
    tensors: "Mapping[str, Tensor]"
    sha256: Mapping[str, str]  # of each file that was read, by its name


def read_checkpoint(path: Path) -> Checkpoint:
    """A file, or a folder of files that belong together.

    UsageError for a path that does not say which file is meant, CheckpointError for files that are not read.
    """
    if not os.path.lexists(path):
        raise UsageError(f"{path}: no such file or folder")
    files = _files(path) if path.is_dir() else [path]
    parts = {file: _read_file(file) for file in files}
    hashes = {file.name: digest for file, (_, digest) in parts.items()}
    tensors = {file: found for file, (found, _) in parts.items()}
    if path.is_dir() and (index := _index(path, files)) is not None:
        _check_index(path / index, tensors)
        hashes[index] = _sha256(path / index)
    return Checkpoint(_merged(tensors), hashes)


def _files(folder: Path) -> list[Path]:
    """Safetensors if there are any, else an encoder and a decoder, else the only file."""
    inside = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    if found := [place for place in inside if place.suffix == SAFETENSORS]:
        return found
    found = [place for place in inside if place.suffix in ARCHIVES]
    if halves := [place for place in found if place.stem in HALVES]:
        if sorted(place.stem for place in halves) != sorted(HALVES):
            raise CheckpointError(f"{folder}: needs one encoder and one decoder; it has {_names(halves)}")
        return halves
    if len(found) > 1:
        raise UsageError(f"{folder}: holds {_names(found)}; name one of them")
    if not found:
        raise CheckpointError(f"{folder}: holds no file that ends in {', '.join((SAFETENSORS, *ARCHIVES))}")
    return found


def _read_file(path: Path) -> "tuple[dict[str, Tensor], str]":
    """The tensors of a file and its hash."""
    if path.suffix not in (SAFETENSORS, *ARCHIVES):
        raise UsageError(f"{path}: does not end in {', '.join((SAFETENSORS, *ARCHIVES))}")
    with _opened(path) as descriptor:
        start = os.pread(descriptor, 4, 0)
        digest = _hash_of(descriptor)
        if path.suffix == SAFETENSORS:
            return load_tensors(path, path), digest
        if start[:1] != b"\x80" and start != b"PK\x03\x04":
            raise CheckpointError(f"{path}: neither an archive of torch.save nor of TorchScript, or damaged")
        return read_archive(descriptor, path), digest


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A regular file: opening a pipe would wait, and a device may have no end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CheckpointError(f"{path}: not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _hash_of(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(path: Path) -> str:
    with _opened(path) as descriptor:
        return _hash_of(descriptor)


def _index(folder: Path, files: list[Path]) -> str | None:
    found = [place.name for place in folder.iterdir() if place.name.endswith(INDEX)]
    if not found or files[0].suffix != SAFETENSORS:
        return None
    if len(found) > 1:
        raise UsageError(f"{folder}: holds {len(found)} indexes of safetensors; name one file")
    return found[0]


def _check_index(index: Path, tensors: "Mapping[Path, Mapping[str, Tensor]]") -> None:
    """CheckpointError unless the index says of every tensor in which file it is."""
    with _opened(index) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
        raw = file.read(LARGEST_INDEX + 1)
    try:
        found = json.loads(raw) if len(raw) <= LARGEST_INDEX else None
    except (ValueError, RecursionError):
        found = None
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict):
        raise CheckpointError(f"{index}: not an index of safetensors")
    actual = {name: file.name for file, inside in tensors.items() for name in inside}
    for name in sorted(actual.keys() | places.keys()):
        if actual.get(name) != places.get(name):
            there = actual.get(name, "no file")
            raise CheckpointError(
                f"{index}: says that {name[:100]!a} is in {str(places.get(name, 'no file'))[:100]!a}; it is in {there}"
            )


def _merged(tensors: "Mapping[Path, Mapping[str, Tensor]]") -> "dict[str, Tensor]":
    import torch

    merged: dict[str, Tensor] = {}
    for file, found in tensors.items():
        for name, tensor in _with_prefix(file, found).items():
            known = merged.setdefault(name, tensor)
            if known is not tensor and not (known.dtype == tensor.dtype and torch.equal(known, tensor)):
                raise CheckpointError(f"{file}: its tensor {name} is in another file too, with other numbers")
    return merged


def _with_prefix(file: Path, tensors: "Mapping[str, Tensor]") -> "Mapping[str, Tensor]":
    """The encoder's and decoder's own names say which half they are of, unless none begins with its half."""
    prefix = f"{file.stem}."
    if file.stem not in HALVES or any(name.startswith(prefix) for name in tensors):
        return tensors
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _names(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:5]) + (", ..." if len(files) > 5 else "")
