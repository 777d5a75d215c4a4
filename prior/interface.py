"""The promise of a prior to a sampler: begin, propose, commit. Nothing about networks is known beyond this file.

A sampler asks what the next latent frame might be as often as it likes, with some of its tokens decided and the others
masked; the past stays as it was. Then it commits the decided frame, and time goes on.
"""

from typing import Generic, Protocol, TypeVar

from torch import Tensor

from prior.text import Text
from prior.vocabulary import Vocabulary

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class Proposal(Protocol):
    """A guess at each token of a frame, or at some of them."""

    def logits(self, known_digits: Tensor) -> Tensor:
        """int64 [B, h, w, d], the first d digits of each token, to float32 logits [B, h, w, base] of the next digit."""

    def at(self, places_BM: Tensor) -> "Proposal":
        """The guesses at these places of each frame, counted in raster order: [B, M, d] to [B, M, base]."""


class FramePrior(Protocol, Generic[PastT, PresentT]):
    """What a frame might be, given the frames before it and the text."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def begin(self, text: Text | None, batch: int, grid: tuple[int, int], rate: float = 0.0) -> PastT:
        """A past without frames. `rate` is how much of the frames to come may be wrong; a clean history has 0."""

    def propose(self, ids_Bhw: Tensor, past: PastT, places_BM: Tensor | None = None) -> tuple[Proposal, PresentT]:
        """Guesses at the next frame given its decided tokens, and the present that a decided frame is committed by.

        Where `places_BM` says which guesses will be read, the answer is the whole proposal's `at` these places.
        """

    def commit(self, past: PastT, present: PresentT) -> PastT:
        """Go on by a frame, `present` coming from its ids without a mask; the past that was given is used up."""

    def advance(self, ids_Bhw: Tensor, past: PastT) -> tuple[PastT, Proposal]:
        """Commit a decided frame and propose the one after it, all of it masked: two steps in one pass."""


class RasterPrior(FramePrior[PastT, PresentT], Protocol[PastT, PresentT]):
    """A prior that can also be asked token by token, with what it knows of the frame kept between the questions."""

    def next_token(self, ids_Bn: Tensor, past: PastT) -> Proposal:
        """The guess [B, 1, 1, ...] at token n of the frame in raster order, token n - 1 being the last of `ids_Bn`.

        Earlier tokens of the frame must have been asked for in order before.
        """
