"""Windows of latent frames for training: which ones depends on seed, epoch and index, not on the number of processes.

A window from the middle of a clip begins unlike any stream, so its first latent frame is history and has no loss. A
window of one latent frame always opens its clip.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interfaces.tokens import TokenSpec
from videogen.data.rng import MASKING, WINDOW, epoch_order, random_words, uniform, uniform_index
from videogen.data.split import check_split, hash_fraction
from videogen.errors import DataError
from videogen.tokens.token_set import TokenSet


@dataclass(frozen=True, eq=False)
class TokenWindow:
    """Codes [T, N, K] of latent frames in a row; `start` is the first one's number in its clip."""

    key: str
    caption: str
    codes: NDArray[Any]
    start: int
    control: NDArray[Any] | None = None  # of each latent frame: int64 [T] or float32 [T, d]


class TokenWindows:
    """The clips of a set with at least one window of `frames` latent frames, without those that repeat a frame.

    Where there is none, `called` is the error's word for the clips, and `remedy` its advice.
    """

    def __init__(
        self,
        tokens: TokenSet,
        rows: NDArray[np.int64],
        frames: int,
        seed: int,
        clip_start_share: float = 0.0,
        called: str = "clips",
        remedy: str = "ask for fewer in phases.frames, or encode longer clips",
    ):
        self.tokens, self.frames, self.seed, self.clip_start_share = tokens, frames, seed, clip_start_share
        lengths = own_latent_frames(tokens)
        self.rows = rows[lengths[rows] >= frames]
        self.starts = lengths[self.rows] - frames + 1 if frames > 1 else np.ones_like(self.rows)
        self.short = len(rows) - len(self.rows)
        if not len(self.rows):
            longest = int(lengths[rows].max()) if len(rows) else 0
            raise DataError(
                f"{tokens.folder}: none of {len(rows)} {called} holds {frames} latent frames, the longest has "
                f"{longest}; {remedy}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, epoch: int, index: int, start: int) -> TokenWindow:
        """The window at `index` in 0 .. len - 1 of an epoch's order; of its clip, no other frames are read."""
        place = int(epoch_order(self.seed, epoch, len(self))[index])
        return self._window(int(self.rows[place]), start, start + self.frames, start)

    def caption(self, epoch: int, index: int) -> str:
        """The caption of the window at `index` of an epoch's order, without reading codes."""
        place = int(epoch_order(self.seed, epoch, len(self))[index])
        return self.tokens.label(int(self.rows[place]))[1]

    def opening(self, row: int) -> TokenWindow:
        """The window at the beginning of the clip in this row of the set."""
        return self._window(row, 0, self.frames, 0)

    def cut(self, window: TokenWindow, number: int, at: int) -> TokenWindow:
        """The window as it turns, with its frame `at`, into the beginning of clip `number`, whose caption it gets."""
        other = self._window(int(self.rows[number]), at, self.frames, window.start)
        control = None if window.control is None else np.concatenate([window.control[:at], other.control])
        codes = np.concatenate([window.codes[:at], other.codes])
        return TokenWindow(f"{window.key} cut to {other.key}", other.caption, codes, window.start, control)

    def start(self, epoch: int, index: int) -> int:
        """Where the window begins: at the start of its clip in `clip_start_share` of the samples, else anywhere."""
        place = int(epoch_order(self.seed, epoch, len(self))[index])
        opens, where = random_words(self.seed, WINDOW, epoch, index, 2)
        return 0 if int(opens) < self.clip_start_share * 2**64 else uniform_index(int(where), int(self.starts[place]))

    def uniform(self, epoch: int, index: int, count: int) -> NDArray[np.float32]:
        """Uniform numbers that belong to a sample; fewer of them are the beginning of more."""
        return uniform(self.seed, MASKING, epoch, index, count)

    def spread(self, most: int) -> NDArray[np.int64]:
        """Rows of at most so many clips, evenly over the set, because neighbors may be of one kind."""
        return self.rows[spread(len(self), most)]

    @property
    def spec(self) -> TokenSpec:
        return self.tokens.description.spec

    def _window(self, row: int, first: int, last: int, start: int) -> TokenWindow:
        key, caption = self.tokens.label(row)
        control = self.tokens.control(row, first, last)
        rows = None if control is None else control.numpy()
        return TokenWindow(key, caption, self.tokens.codes(row, first, last).numpy(), start, rows)


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the places 0 .. count - 1, evenly."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)


def own_latent_frames(tokens: TokenSet) -> NDArray[np.int64]:
    """Of each clip, how many latent frames hold only frames of the clip, none repeated."""
    spec = tokens.description.spec
    return np.maximum(0, 1 + (tokens.frames() - spec.first_frames) // spec.frames_per_latent)


def split_rows(tokens: TokenSet, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to validate with, by a hash of each clip's key."""
    draws = [hash_fraction(tokens.label(row)[0]) for row in range(len(tokens))]
    check_split(tokens.folder, draws, share)
    held = np.array(draws) < share
    return np.flatnonzero(~held), np.flatnonzero(held)
