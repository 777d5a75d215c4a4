"""A finished token set, read from disk row by row: its size does not matter."""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prior.config import ControlConfig
from videogen.checkpoint import sha256_of
from videogen.errors import CheckpointError, DataError
from videogen.storage import Location, RemotePath
from videogen.tokens.description import Description, describe_control, read_description
from videogen.tokens.packing import DTYPES, check_control, packing_of, packing_of_control, unpack
from videogen.tokens.remote import local_tokens
from videogen.tokens.shards import labels_at, labels_hash, layout_of, tensors_at

if TYPE_CHECKING:
    from torch import Tensor

OnProgress = Callable[[int, int], None]
OPEN_AT_ONCE = 4096  # shards: each a few captions and a mapping of its file, some 7 KiB; to open one costs a read


@dataclass(frozen=True, eq=False)
class TokenClip:
    """A clip as codes [T', N, K]: int64, or float32 where tokens are continuous."""

    key: str
    caption: str
    codes: "Tensor"
    frames: int  # of the clip; the last latent frame may hold more, which repeat the last one
    control: "Tensor | None" = None  # of each latent frame: int64 [T'] or float32 [T', d]


@dataclass(frozen=True, eq=False)
class _Shard:
    keys: tuple[str, ...]
    captions: tuple[str, ...]
    starts: NDArray[np.int64]
    frames: NDArray[np.int64]
    tokens: Any  # a slice of safetensors: rows are read when asked for
    control: Any = None


class TokenSet:
    """The clips of a folder that `encode` has finished; it can be sent to other processes."""

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder, self.description = folder, description
        self._shard = functools.lru_cache(OPEN_AT_ONCE)(functools.partial(_open_shard, folder, description))

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenSet, (self.folder, self.description)

    @staticmethod
    def open(folder: Location, fingerprint: str | None = None) -> "TokenSet":
        """The set in `folder`, if it is finished and, where a fingerprint is given, made by that tokenizer."""
        folder = local_tokens(folder) if isinstance(folder, RemotePath) else Path(folder)
        description = read_description(folder)
        if fingerprint not in (None, description.tokenizer):
            raise CheckpointError(
                f"{folder}: tokens of the tokenizer {description.tokenizer[:12]}, not of {str(fingerprint)[:12]}; "
                "encode the clips again with that one"
            )
        refuse_unfinished(folder, description.shards)
        return TokenSet(folder, description)

    def __len__(self) -> int:
        return self.description.count

    def clip(self, index: int) -> TokenClip:
        shard, place = self._find(index)
        frames = int(shard.frames[place])
        return TokenClip(shard.keys[place], shard.captions[place], self.codes(index), frames, self.control(index))

    def codes(self, index: int, start: int = 0, stop: int | None = None) -> "Tensor":
        """Latent frames start .. stop - 1 of a clip [T', N, K]; no others are read."""
        import torch

        shard, place = self._find(index)
        spec = self.description.spec
        rows = _rows(shard, place, start, stop)
        if not rows:  # safetensors has no empty slice at the end
            return spec.empty(1)[0]
        try:
            return torch.from_numpy(unpack(shard.tokens[rows.start : rows.stop], spec))
        except ValueError as error:
            raise self._damage_at(index, error) from None

    def control(self, index: int, start: int = 0, stop: int | None = None) -> "Tensor | None":
        """The control of latent frames start .. stop - 1 of a clip; None where the set has none."""
        import torch

        known = self.description.control
        if known is None:
            return None
        shard, place = self._find(index)
        rows = _rows(shard, place, start, stop)
        found: NDArray[Any] = shard.control[rows.start : rows.stop] if rows else _no_rows(known)
        try:
            check_control(found, known)
        except ValueError as error:
            raise self._damage_at(index, error) from None
        return torch.from_numpy(found)

    def require_control(self, control: ControlConfig | None) -> None:
        """DataError unless a prior of this control can be given the set's."""
        own = self.description.control
        fits = own == control
        if own is not None and control is not None:
            fits = own.floats == control.floats and (own.discrete or 0) <= (control.discrete or 0)
        if not fits:
            has, takes = (describe_control(each) for each in (own, control))
            raise DataError(f"{self.folder}: its clips have {has} for control, the prior takes {takes}")

    def latent_frames(self) -> NDArray[np.int64]:
        """How many latent frames each clip has [clips]."""
        return np.concatenate([np.diff(self._shard(i).starts) for i in range(self.description.shards)])

    def frames(self) -> NDArray[np.int64]:
        """How many frames each clip has [clips]."""
        return np.concatenate([self._shard(i).frames for i in range(self.description.shards)])

    def label(self, index: int) -> tuple[str, str]:
        """A clip's key and caption, without reading its codes."""
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

    def _damage_at(self, index: int, error: ValueError) -> DataError:
        return _damage(
            self.folder, f"{tensors_at(self.folder, index // self.description.clips_per_shard).name} ({error})"
        )


def refuse_unfinished(folder: Path, shards: int) -> None:
    """DataError unless all files of so many shards are there."""
    there = set(os.listdir(folder))  # noqa: PTH208 - names alone
    missing = sum(not there.issuperset({tensors_at(folder, i).name, labels_at(folder, i).name}) for i in range(shards))
    if missing:
        raise DataError(
            f"{folder}: {missing} of {shards} shards are missing; run the same `videogen encode` again, it resumes"
        )


def _rows(shard: _Shard, place: int, start: int, stop: int | None) -> range:
    """The rows of a shard that hold these latent frames of a clip."""
    begin, end = int(shard.starts[place]), int(shard.starts[place + 1])
    return range(begin, end)[start:stop]


def _no_rows(control: ControlConfig) -> NDArray[Any]:
    packing = packing_of_control(control)
    return np.zeros((0, *packing.shape), DTYPES[packing.dtype])


def _open_shard(folder: Path, description: Description, number: int) -> _Shard:
    from safetensors import SafetensorError, safe_open

    place, known = tensors_at(folder, number), _labels(folder, number)
    packing = packing_of(description.spec)
    try:
        file: Any = safe_open(place, framework="np")
        starts, frames = file.get_tensor("latent_starts"), file.get_tensor("pictures")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise _damage(folder, f"{place.name} ({error})") from None
    clips = len(description.slice_of(number))
    if not len(known["keys"]) == len(known["captions"]) == len(frames) == len(starts) - 1 == clips:
        raise _damage(folder, place.name)
    expected = layout_of(clips, int(starts[-1]), description.spec, description.control)
    if {name: (each.get_dtype(), each.get_shape()) for name, each in slices.items()} != expected:
        raise _damage(folder, place.name)
    labels = tuple(known["keys"]), tuple(known["captions"])
    return _Shard(*labels, starts, frames, slices[packing.name], slices.get("control"))


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
    return DataError(f"{folder}: damaged: {what}; run the same `videogen encode` again, it replaces damaged shards")
