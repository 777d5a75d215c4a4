"""A finished set of tokens, read from disk row by row: its size does not matter."""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from videogen.checkpoint import sha256_of
from videogen.errors import CheckpointError, DataError
from videogen.tokens.description import Description, read_description
from videogen.tokens.shards import labels_at, labels_hash, stored_as, tensors_at

if TYPE_CHECKING:
    from torch import Tensor

OnProgress = Callable[[int, int], None]
OPEN_AT_ONCE = 4096  # shards: each a few captions and a mapping of its file, some 7 KiB; to open one costs a read


@dataclass(frozen=True, eq=False)
class TokenClip:
    """A clip as ids int64 [T', h, w]; `pictures` of the video frames they stand for are its own, the rest filling."""

    key: str
    caption: str
    ids: "Tensor"
    pictures: int


@dataclass(frozen=True, eq=False)
class _Shard:
    keys: tuple[str, ...]
    captions: tuple[str, ...]
    starts: NDArray[np.int64]
    pictures: NDArray[np.int64]
    ids: Any  # a slice of safetensors: rows are read when asked for


class TokenSet:
    """The clips of a folder that `encode` has finished; it can be sent to other processes."""

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder, self.description = folder, description
        self._shard = functools.lru_cache(OPEN_AT_ONCE)(functools.partial(_open_shard, folder, description))

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenSet, (self.folder, self.description)

    @staticmethod
    def open(folder: Path, fingerprint: str | None = None) -> "TokenSet":
        """The set in `folder`, if it is finished and, where a fingerprint is given, made by that tokenizer."""
        folder = Path(folder)
        description = read_description(folder)
        if fingerprint not in (None, description.tokenizer):
            raise CheckpointError(
                f"{folder}: tokens of the tokenizer {description.tokenizer[:12]}, not of {str(fingerprint)[:12]}; "
                "encode the clips again with the one at hand"
            )
        there = set(os.listdir(folder))  # noqa: PTH208 - names alone
        needed = ((tensors_at(folder, i).name, labels_at(folder, i).name) for i in range(description.shards))
        missing = sum(not there.issuperset(names) for names in needed)
        if missing:
            raise DataError(
                f"{folder}: {missing} of {description.shards} shards are not there yet; "
                "run the same `videogen encode` again, it goes on where it was"
            )
        return TokenSet(folder, description)

    def __len__(self) -> int:
        return self.description.clips

    def clip(self, index: int) -> TokenClip:
        shard, place = self._find(index)
        return TokenClip(shard.keys[place], shard.captions[place], self.ids(index), int(shard.pictures[place]))

    def ids(self, index: int, start: int = 0, stop: int | None = None) -> "Tensor":
        """Latent frames start .. stop - 1 of a clip, int64 [T', h, w]; no others are read."""
        import torch

        shard, place = self._find(index)
        begin, end = int(shard.starts[place]), int(shard.starts[place + 1])
        first, last, _ = slice(start, stop).indices(end - begin)
        if last <= first:  # safetensors knows no empty slice at the end
            return torch.zeros(0, *self.description.grid, dtype=torch.int64)
        rows: NDArray[Any] = shard.ids[begin + first : begin + last]
        return torch.from_numpy(rows.astype(np.int64))

    def latent_frames(self) -> NDArray[np.int64]:
        """How many latent frames each clip has [clips]."""
        return np.concatenate([np.diff(self._shard(i).starts) for i in range(self.description.shards)])

    def pictures(self) -> NDArray[np.int64]:
        """How many pictures of its own each clip has [clips]."""
        return np.concatenate([self._shard(i).pictures for i in range(self.description.shards)])

    def label(self, index: int) -> tuple[str, str]:
        """A clip's key and caption; none of its ids are read."""
        shard, place = self._find(index)
        return shard.keys[place], shard.captions[place]

    def verify(self, on_progress: OnProgress | None = None) -> None:
        """Read every byte: DataError names the shards that are not what was written."""
        damaged = []
        for number in range(self.description.shards):
            place = tensors_at(self.folder, number)
            if _labels(self.folder, number).get("sha256") != sha256_of(place):
                damaged.append(place.name)
            if on_progress:
                on_progress(number + 1, self.description.shards)
        if damaged:
            raise _damage(self.folder, ", ".join(damaged))

    def _find(self, index: int) -> tuple[_Shard, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        number, place = divmod(index, self.description.clips_per_shard)
        return self._shard(number), place


def _open_shard(folder: Path, description: Description, number: int) -> _Shard:
    from safetensors import SafetensorError, safe_open

    place, known = tensors_at(folder, number), _labels(folder, number)
    try:
        file: Any = safe_open(place, framework="np")
        starts, pictures, ids = file.get_tensor("latent_starts"), file.get_tensor("pictures"), file.get_slice("ids")
    except (SafetensorError, OSError) as error:
        raise _damage(folder, f"{place.name} ({error})") from None
    clips = len(description.slice_of(number))
    expected = ([int(starts[-1]), *description.grid], stored_as(description.vocabulary))
    if not len(known["keys"]) == len(known["captions"]) == len(pictures) == len(starts) - 1 == clips:
        raise _damage(folder, place.name)
    if (ids.get_shape(), ids.get_dtype()) != expected:
        raise _damage(folder, place.name)
    return _Shard(tuple(known["keys"]), tuple(known["captions"]), starts, pictures, ids)


def _labels(folder: Path, number: int) -> dict[str, Any]:
    place = labels_at(folder, number)
    try:
        known: dict[str, Any] = json.loads(place.read_bytes())
        if known["labels_sha256"] == labels_hash(known):
            return known
    except (ValueError, KeyError, TypeError):
        pass
    raise _damage(folder, place.name)


def _damage(folder: Path, what: str) -> DataError:
    return DataError(f"{folder}: damaged: {what}; run the same `videogen encode` again, it makes them anew")
