"""Clips of one size and frame rate from an indexed set; a sample depends on (seed, epoch, index) alone."""

import hashlib
import operator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videogen.clip_spec import ClipSpec
from videogen.data.index.check import refuse_changed_clip
from videogen.data.index.clip_index import Index, IndexedClip
from videogen.data.index.summary import summarize
from videogen.data.rng import AUGMENTATION, epoch_order, epoch_places, random_words, uniform_index
from videogen.data.window import frame_numbers, possible_starts
from videogen.errors import DataError
from videogen.io import read


@dataclass(frozen=True, eq=False)
class Sample:
    """A clip uint8 [T, H, W, 3] with its caption, and the key of the entry it comes from."""

    key: str
    caption: str
    clip: NDArray[np.uint8]


class ClipDataset:
    """One clip of each usable entry in every epoch, in a new order each time.

    Refused entries are skipped; more than `max_bad_fraction` of them is a DataError. Entries that are too short for a
    clip are left out and listed in `short`: nothing is padded. Frames are picked by time, so that `spec.fps` holds
    whatever rate the video has, then scaled to cover and cropped at the center. If all entries are too short, the error
    calls them `called` and advises `remedy`. `flip` mirrors half of the clips: not for captions that say left or right.
    """

    def __init__(
        self,
        index: Index,
        spec: ClipSpec,
        seed: int,
        max_bad_fraction: float = 0.05,
        called: str = "clips",
        remedy: str = "ask for fewer",
        flip: bool = False,
    ) -> None:
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed is {seed}; it must lie in 0 .. 2^64 - 1")
        _refuse_if_bad(index, max_bad_fraction)
        starts = [_starts(clip, spec) for clip in index.good]
        self.spec, self.seed, self.epoch, self.flip = spec, seed, 0, flip
        self.clips = tuple(clip for clip, possible in zip(index.good, starts, strict=True) if possible)
        self.short = tuple(clip.entry.key for clip, possible in zip(index.good, starts, strict=True) if not possible)
        self.refused = index.refused
        self._starts = tuple(possible for possible in starts if possible)
        self._decord = find_spec("decord") is not None
        if not self.clips:
            raise DataError(
                f"{index.data}: none of {len(index.good)} {called} holds {spec.frames} frames at {spec.fps:g} a "
                f"second; {remedy}"
            )

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Clip `number` of `clips` for torch's DataLoader: "video" uint8 [T, 3, H, W], "caption" and "key".

        It is the sample that this clip has in the epoch of `set_epoch`, 0 by default.
        """
        import torch

        place = operator.index(number)
        if not -len(self) <= place < len(self):
            raise IndexError(f"clip {number} of {len(self)}")
        sample = self.sample(self.epoch, int(epoch_places(self.seed, self.epoch, len(self))[place]))
        video = torch.from_numpy(sample.clip).permute(0, 3, 1, 2).contiguous()
        return {"video": video, "caption": sample.caption, "key": sample.key}

    def set_epoch(self, epoch: int) -> None:
        """Choose other windows and flips for `dataset[i]`; workers of a DataLoader see it when they start."""
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}; it must be at least 0")
        self.epoch = epoch

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the frames of the samples; captions do not count."""
        spec = self.spec
        decides = (spec.frames, spec.height, spec.width, spec.fps, self.flip)
        digest = hashlib.sha256(repr((decides, self.seed)).encode())
        for clip in self.clips:
            entry = clip.entry
            digest.update(repr((entry.key, entry.start, entry.end, clip.scan.hashes)).encode())
        return digest.hexdigest()

    def sample(self, epoch: int, index: int) -> Sample:
        """The sample at `index` in 0 .. len - 1 of an epoch's order; VideoError if its file is not as indexed."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        place = int(epoch_order(self.seed, epoch, len(self))[index])
        clip, starts, spec = self.clips[place], self._starts[place], self.spec
        where, mirror = random_words(self.seed, AUGMENTATION, epoch, index, 2)
        first = starts[uniform_index(where, len(starts))]
        frames = self._read(clip, frame_numbers(clip.scan.seconds, first, spec.frames, spec.fps))
        if self.flip and uniform_index(mirror, 2):
            frames = np.ascontiguousarray(frames[:, :, ::-1])
        return Sample(clip.entry.key, clip.entry.caption, frames)

    def _read(self, clip: IndexedClip, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        refuse_changed_clip(clip)
        size, backend = (self.spec.height, self.spec.width), clip.backend if self._decord else "pyav"
        return read(clip.entry.source, numbers.tolist(), clip.scan, backend, size)


def _starts(clip: IndexedClip, spec: ClipSpec) -> range:
    return possible_starts(clip.scan.seconds, spec.frames, spec.fps, clip.entry.start, clip.entry.end)


def _refuse_if_bad(index: Index, max_bad_fraction: float) -> None:
    """DataError if too many of all clips of the set are refused, held-out clips included."""
    bad, total = len(index.refused), len(index.entries)
    if bad and bad / total > max_bad_fraction:
        kinds = ", ".join(f"{kind} {damage['count']}" for kind, damage in summarize(index)["damage"].items())
        raise DataError(
            f"{index.data}: {bad} of {total} clips cannot be used ({kinds}), more than {max_bad_fraction:.1%}; "
            f"look at them with `videogen data check {index.data}`, or allow them: "
            f"data.max_bad_fraction={-(-100 * bad // total) / 100:g}"
        )
