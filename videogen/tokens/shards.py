"""One shard on disk: shard_00000.safetensors with the ids of some clips, shard_00000.json with their keys and captions.

    ids            [sum of T', h, w]  uint16, int32 or int64, whichever is the smallest to hold the mask's id too
    latent_starts  int64 [n + 1]      clip i has the rows latent_starts[i] .. latent_starts[i + 1] - 1
    pictures       int64 [n]          how many video frames of them are real; the tail repeats the last one

The JSON comes last: a shard is there when its JSON is, and matches. Equal clips give equal bytes.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from videogen.checkpoint import sha256_of, sync

STORED: dict[str, np.dtype[Any]] = {"U16": np.dtype("<u2"), "I32": np.dtype("<i4"), "I64": np.dtype("<i8")}


@dataclass(frozen=True)
class Contents:
    """What is known of a shard before its ids are; one entry a clip."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    pictures: tuple[int, ...]
    latent_frames: tuple[int, ...]


def tensors_at(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05}.safetensors"


def labels_at(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05}.json"


def stored_as(vocabulary: int) -> str:
    """The safetensors name of the smallest type that holds 0 .. vocabulary, the mask's id included."""
    return next(name for name, kind in STORED.items() if vocabulary <= np.iinfo(kind).max)


def labels(contents: Contents, digest: str) -> bytes:
    """The shard's JSON, in ASCII, for names of files need not be text."""
    known = {"keys": contents.keys, "captions": contents.captions}
    return json.dumps({**known, "sha256": digest, "labels_sha256": labels_hash(known)}, indent=1).encode() + b"\n"


def labels_hash(known: Mapping[str, Sequence[str]]) -> str:
    return hashlib.sha256(json.dumps([known["keys"], known["captions"]]).encode()).hexdigest()


def is_whole(folder: Path, number: int, contents: Contents) -> bool:
    """Whether the shard is there to the byte; its ids are taken to be right if they are those that were written."""
    place = labels_at(folder, number)
    if not (place.is_file() and tensors_at(folder, number).is_file()):
        return False
    return place.read_bytes() == labels(contents, sha256_of(tensors_at(folder, number)))


def write_shard(
    folder: Path,
    number: int,
    contents: Contents,
    grid: tuple[int, int],
    vocabulary: int,
    ids: Iterable[NDArray[np.int64]],
) -> None:
    """Put a shard in place, whole or not at all, from the ids of its clips in pieces [any, h, w], in order."""
    place = tensors_at(folder, number)
    partial = place.with_name(f".{place.name}.partial")
    try:
        with partial.open("wb") as file:
            digest = _write_tensors(file, contents, grid, stored_as(vocabulary), ids)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    _into_place(partial, place)
    labelled = labels_at(folder, number)
    partial = labelled.with_name(f".{labelled.name}.partial")
    partial.write_bytes(labels(contents, digest))
    sync(partial)
    _into_place(partial, labelled)


def _write_tensors(
    file: BinaryIO, contents: Contents, grid: tuple[int, int], stored: str, ids: Iterable[NDArray[np.int64]]
) -> str:
    """A safetensors file, written as the ids come, for their number is known: their sum can be larger than memory."""
    digest, rows = hashlib.sha256(), 0

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    starts = np.cumsum([0, *contents.latent_frames])
    put(_header(len(contents.keys), int(starts[-1]), grid, stored))
    for numbers in (starts, np.array(contents.pictures)):
        put(numbers.astype(STORED["I64"]).tobytes())
    for piece in ids:
        assert piece.shape[1:] == grid, f"ids of a grid {piece.shape[1:]}, not {grid}"
        put(piece.astype(STORED[stored]).tobytes())
        rows += len(piece)
    assert rows == starts[-1], f"{rows} latent frames came, not {starts[-1]}"
    return digest.hexdigest()


def _header(clips: int, rows: int, grid: tuple[int, int], stored: str) -> bytes:
    layout = {"latent_starts": ("I64", [clips + 1]), "pictures": ("I64", [clips]), "ids": (stored, [rows, *grid])}
    described, begin = {}, 0
    for name, (kind, shape) in layout.items():
        end = begin + STORED[kind].itemsize * int(np.prod(shape))
        described[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _into_place(partial: Path, place: Path) -> None:
    partial.replace(place)
    sync(place.parent)
