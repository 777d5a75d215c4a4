"""What else one could do with the same weights: ask a prior that keeps nothing between two questions."""

from typing import NamedTuple

import torch
from torch import Tensor

from prior.memory import Past
from prior.model import TokenProposal
from prior.stand_in import LooksLike
from prior.text import Text


class UncachedPast(NamedTuple):
    """A past as the ids of its window alone."""

    text: Text | None
    rate: Tensor  # float []
    ids_BThw: Tensor


class UncachedPrior(LooksLike):
    """Keeps the promise of a frame prior by computing the context and the whole window again for every proposal.

    While no frame has left the window its answers are those of the prior inside. Later they forget what older frames
    have told those in the window, as every model without a cache does.
    """

    def begin(self, text: Text | None, batch: int, grid: tuple[int, int], rate: float = 0.0) -> UncachedPast:
        return UncachedPast(
            text, torch.tensor(rate), torch.zeros(batch, 0, *grid, dtype=torch.int64, device=self.device)
        )

    @torch.no_grad()
    def propose(
        self, ids_Bhw: Tensor, past: UncachedPast, places_BM: Tensor | None = None
    ) -> tuple[TokenProposal, Tensor]:
        features, inside = self.features(torch.cat([past.ids_BThw, ids_Bhw.unsqueeze(1)], 1), past)
        proposal = self.prior.proposal(features, inside)
        return (proposal if places_BM is None else proposal.at(places_BM)), ids_Bhw

    def commit(self, past: UncachedPast, present: Tensor) -> UncachedPast:
        return past._replace(ids_BThw=torch.cat([past.ids_BThw, present.unsqueeze(1)], 1)[:, -self.window :])

    def advance(self, ids_Bhw: Tensor, past: UncachedPast) -> tuple[UncachedPast, TokenProposal]:
        past = self.commit(past, ids_Bhw)
        return past, self.propose(torch.full_like(ids_Bhw, self.vocabulary.mask), past)[0]

    def features(self, ids_BThw: Tensor, past: UncachedPast) -> tuple[Tensor, Past]:
        """Of the last frame, all computed at once, each seeing those before it; and a past to read the grid from."""
        batch, _, height, width = ids_BThw.shape
        inside = self.prior.begin(past.text, batch, (height, width), float(past.rate))
        features, _, _ = self.prior.stream(self.prior.embedding(ids_BThw.flatten(1)), inside, 0, None)
        return features, inside

    @property
    def device(self) -> torch.device:
        return self.prior.norm.weight.device
