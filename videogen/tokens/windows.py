"""Clips of tokens as the prior trains on them: windows of so many latent frames, the same for any number of processes.

A clip's first latent frame holds one picture, every later one `f_t`: a window from the middle of a clip begins unlike
any stream, so nothing is asked about its first frame; it only serves as history. A window of one frame has nothing else
to ask about, so it always opens its clip.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from videogen.data.rng import LESSON, WINDOW, below, epoch_order, uniform, words
from videogen.data.split import draw, refuse_one_sided
from videogen.errors import DataError
from videogen.tokens.token_set import TokenSet


@dataclass(frozen=True, eq=False)
class Window:
    """ids int64 [T, h, w]; `start` is where it begins in its clip, in latent frames."""

    key: str
    caption: str
    ids: NDArray[np.int64]
    start: int


class TokenWindows:
    """The clips of a set whose own latent frames fill at least one window of `frames`; filling at a clip's end is left
    out. Where there is none, `called` says in the error what the clips are, and `remedy` what to do."""

    def __init__(
        self,
        tokens: TokenSet,
        rows: NDArray[np.int64],
        frames: int,
        seed: int,
        opening_share: float = 0.0,
        called: str = "clips",
        remedy: str = "ask for fewer in phases.frames, or encode longer clips",
    ):
        self.tokens, self.frames, self.seed, self.opening_share = tokens, frames, seed, opening_share
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

    def sample(self, epoch: int, index: int, start: int) -> Window:
        """The window at `index` in 0 .. len - 1 of an epoch's order; of its clip, no other frames are read."""
        place = int(epoch_order(self.seed, epoch, len(self))[index])
        row = int(self.rows[place])
        return Window(*self.tokens.label(row), self.tokens.ids(row, start, start + self.frames).numpy(), start)

    def cut(self, window: Window, number: int, at: int) -> Window:
        """The window turning, with its frame `at`, into the beginning of the clip `number`, whose caption it gets."""
        row = int(self.rows[number])
        key, caption = self.tokens.label(row)
        ids = np.concatenate([window.ids[:at], self.tokens.ids(row, at, self.frames).numpy()])
        return Window(f"{window.key} cut to {key}", caption, ids, window.start)

    def start(self, epoch: int, index: int) -> int:
        """Where the window begins: at the clip's beginning in at least the opening share, else anywhere."""
        place = int(epoch_order(self.seed, epoch, len(self))[index])
        opens, where = words(self.seed, WINDOW, epoch, index, 2)
        return 0 if int(opens) < self.opening_share * 2**64 else below(int(where), int(self.starts[place]))

    def chance(self, epoch: int, index: int, count: int) -> NDArray[np.float32]:
        """Uniform numbers that belong to a sample; fewer of them are the beginning of more."""
        return uniform(self.seed, LESSON, epoch, index, count)

    def spread(self, most: int) -> NDArray[np.int64]:
        """Rows of at most so many clips, evenly over the set: those that come first in it may all be of one kind."""
        return self.rows[spread(len(self), most)]

    @cached_property
    def grid(self) -> tuple[int, int]:
        return self.tokens.description.grid


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the places 0 .. count - 1, evenly."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)


def own_latent_frames(tokens: TokenSet) -> NDArray[np.int64]:
    """Of each clip, the latent frames that hold nothing but its own pictures."""
    return 1 + (tokens.pictures() - 1) // tokens.description.f_t


def split_rows(tokens: TokenSet, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to validate with, by a hash of each clip's key."""
    draws = [draw(tokens.label(row)[0]) for row in range(len(tokens))]
    refuse_one_sided(tokens.folder, draws, share)
    held = np.array(draws) < share
    return np.flatnonzero(~held), np.flatnonzero(held)
