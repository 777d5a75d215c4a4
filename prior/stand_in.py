"""A prior in front of another: what it does not do itself, the one behind it does."""

import torch
from torch import Tensor

from prior.config import PriorConfig
from prior.interface import Proposal
from prior.memory import Past, Present
from prior.model import LlamaPrior
from prior.text import Text
from prior.vocabulary import Vocabulary


class LooksLike:
    """What is known of a prior without asking it."""

    def __init__(self, prior: LlamaPrior):
        self.prior = prior

    @property
    def vocabulary(self) -> Vocabulary:
        return self.prior.vocabulary

    @property
    def window(self) -> int:
        return self.prior.window

    @property
    def config(self) -> PriorConfig:
        return self.prior.config

    @property
    def norm(self) -> torch.nn.Module:
        return self.prior.norm


class StandIn(LooksLike):
    """Keeps the promise of a raster prior by passing every call on."""

    def begin(self, text: Text | None, batch: int, grid: tuple[int, int], rate: float = 0.0) -> Past:
        return self.prior.begin(text, batch, grid, rate)

    def propose(self, ids_Bhw: Tensor, past: Past, places_BM: Tensor | None = None) -> tuple[Proposal, Present]:
        return self.prior.propose(ids_Bhw, past, places_BM)

    def commit(self, past: Past, present: Present) -> Past:
        return self.prior.commit(past, present)

    def advance(self, ids_Bhw: Tensor, past: Past) -> tuple[Past, Proposal]:
        return self.prior.advance(ids_Bhw, past)

    def next_token(self, ids_Bn: Tensor, past: Past) -> Proposal:
        return self.prior.next_token(ids_Bn, past)
