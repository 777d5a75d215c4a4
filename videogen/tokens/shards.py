"""One shard on disk: shard_00000.safetensors with the tokens of some clips, shard_00000.json with keys and captions.

    latent_starts  int64 [n + 1]        clip i has the rows latent_starts[i] .. latent_starts[i + 1] - 1
    pictures       int64 [n]            how many frames each clip has; the last latent frame may repeat the last one
    ids | codes    [sum of T', ...]     the tokens of a latent frame in a row, see packing.py
    control        int64 [sum of T'] or float32 [sum of T', d], where the set has controls

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

from interfaces.tokens import TokenSpec
from prior.config import ControlConfig
from videogen.checkpoint import sha256_of, sync
from videogen.tokens.packing import DTYPES, pack, packing_of, packing_of_control

Layout = dict[str, tuple[str, list[int]]]  # safetensors type and shape of each tensor


@dataclass(frozen=True)
class ShardMetadata:
    """What is known of a shard before its clips are encoded; one entry a clip."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    frames: tuple[int, ...]
    latent_frames: tuple[int, ...]


def tensors_at(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05}.safetensors"


def labels_at(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05}.json"


def layout_of(clips: int, rows: int, spec: TokenSpec, control: ControlConfig | None) -> Layout:
    """The tensors of a shard in the order in which they are written."""
    packings = [packing_of(spec), *([] if control is None else [packing_of_control(control)])]
    layout = {"latent_starts": ("I64", [clips + 1]), "pictures": ("I64", [clips])}
    return layout | {each.name: (each.dtype, [rows, *each.shape]) for each in packings}


def labels(metadata: ShardMetadata, digest: str) -> bytes:
    """The shard's JSON, in ASCII, because file names need not be text."""
    known = {"keys": metadata.keys, "captions": metadata.captions}
    return json.dumps({**known, "sha256": digest, "labels_sha256": labels_hash(known)}, indent=1).encode() + b"\n"


def labels_hash(known: Mapping[str, Sequence[str]]) -> str:
    return hashlib.sha256(json.dumps([known["keys"], known["captions"]]).encode()).hexdigest()


def is_whole(folder: Path, number: int, metadata: ShardMetadata) -> bool:
    """Whether the shard is there and has the bytes that were written."""
    place = labels_at(folder, number)
    if not (place.is_file() and tensors_at(folder, number).is_file()):
        return False
    return place.read_bytes() == labels(metadata, sha256_of(tensors_at(folder, number)))


def write_shard(
    folder: Path,
    number: int,
    metadata: ShardMetadata,
    spec: TokenSpec,
    codes: Iterable[NDArray[Any]],
    control: tuple[ControlConfig, NDArray[Any]] | None = None,
) -> None:
    """Put a shard in place, whole or not at all, from the codes of its clips in pieces [any, N, K], in order.

    `control` has a row for each latent frame of all clips.
    """
    place = tensors_at(folder, number)
    partial = place.with_name(f".{place.name}.partial")
    try:
        with partial.open("wb") as file:
            digest = _write_tensors(file, metadata, spec, codes, control)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    _into_place(partial, place)
    labelled = labels_at(folder, number)
    partial = labelled.with_name(f".{labelled.name}.partial")
    partial.write_bytes(labels(metadata, digest))
    sync(partial)
    _into_place(partial, labelled)


def _write_tensors(
    file: BinaryIO,
    metadata: ShardMetadata,
    spec: TokenSpec,
    codes: Iterable[NDArray[Any]],
    control: tuple[ControlConfig, NDArray[Any]] | None,
) -> str:
    """A safetensors file, written as the codes come: together they can be larger than memory."""
    digest, rows = hashlib.sha256(), 0

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    starts = np.cumsum([0, *metadata.latent_frames])
    put(_header(layout_of(len(metadata.keys), int(starts[-1]), spec, control and control[0])))
    for numbers in (starts, np.array(metadata.frames)):
        put(numbers.astype(DTYPES["I64"]).tobytes())
    for piece in codes:
        assert piece.shape[1:] == (spec.tokens, spec.depth), f"codes {piece.shape} are not of {spec}"
        put(pack(piece, spec).tobytes())
        rows += len(piece)
    assert rows == starts[-1], f"{rows} latent frames came, not {starts[-1]}"
    if control is not None:
        packing = packing_of_control(control[0])
        assert control[1].shape == (rows, *packing.shape), f"control {control[1].shape} for {rows} latent frames"
        put(control[1].astype(DTYPES[packing.dtype]).tobytes())
    return digest.hexdigest()


def _header(layout: Layout) -> bytes:
    described, begin = {}, 0
    for name, (kind, shape) in layout.items():
        end = begin + DTYPES[kind].itemsize * int(np.prod(shape))
        described[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _into_place(partial: Path, place: Path) -> None:
    partial.replace(place)
    sync(place.parent)
