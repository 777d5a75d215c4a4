"""A prior that is overheard: while a latent frame is sampled, what of it is decided so far."""

from collections.abc import Callable

import torch
from torch import Tensor

from prior.config import PriorConfig
from prior.interface import Proposal
from prior.memory import Past, Present
from prior.model import LlamaPrior
from prior.text import Text
from prior.vocabulary import Vocabulary

OnProposal = Callable[[Callable[[], Tensor]], None]  # is told how to find out: bool [N], the tokens that are decided


class Overheard:
    """The same prior; `on_proposal` is called before it answers, and may raise to break the latent frame off."""

    def __init__(self, prior: LlamaPrior, on_proposal: OnProposal):
        self.prior, self.on_proposal = prior, on_proposal

    @property
    def norm(self) -> torch.nn.Module:
        return self.prior.norm

    @property
    def config(self) -> PriorConfig:
        return self.prior.config

    @property
    def vocabulary(self) -> Vocabulary:
        return self.prior.vocabulary

    @property
    def window(self) -> int:
        return self.prior.window

    def begin(self, text: Text | None, batch: int, grid: tuple[int, int], rate: float = 0.0) -> Past:
        return self.prior.begin(text, batch, grid, rate)

    def propose(self, ids_Bhw: Tensor, past: Past) -> tuple[Proposal, Present]:
        self.on_proposal(lambda: ids_Bhw[0].flatten() != self.vocabulary.mask)
        return self.prior.propose(ids_Bhw, past)

    def commit(self, past: Past, present: Present) -> Past:
        return self.prior.commit(past, present)

    def advance(self, ids_Bhw: Tensor, past: Past) -> tuple[Past, Proposal]:
        self.on_proposal(lambda: torch.zeros_like(ids_Bhw[0].flatten(), dtype=torch.bool))
        return self.prior.advance(ids_Bhw, past)

    def next_token(self, ids_Bn: Tensor, past: Past) -> Proposal:
        tokens = int(past.grid.prod())
        self.on_proposal(lambda: torch.arange(tokens) < ids_Bn.shape[1])
        return self.prior.next_token(ids_Bn, past)
