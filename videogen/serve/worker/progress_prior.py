"""A prior that is overheard: while a latent frame is sampled, what of it is decided so far."""

from collections.abc import Callable

import torch
from interfaces.prior import Proposal
from torch import Tensor

from prior.memory import Past, Present
from prior.model import LlamaPrior
from prior.wrappers import StandIn

OnProposal = Callable[[Callable[[], Tensor]], None]  # is told how to find out: bool [N], the tokens that are decided


class ProgressPrior(StandIn):
    """The same prior; `on_proposal` is called before it answers, and may raise to break the latent frame off."""

    def __init__(self, prior: LlamaPrior, on_proposal: OnProposal):
        super().__init__(prior)
        self.on_proposal = on_proposal

    def propose(self, ids_Bhw: Tensor, past: Past, places_BM: Tensor | None = None) -> tuple[Proposal, Present]:
        self.on_proposal(lambda: ids_Bhw[0].flatten() != self.vocabulary.mask)
        return super().propose(ids_Bhw, past, places_BM)

    def advance(self, ids_Bhw: Tensor, past: Past) -> tuple[Past, Proposal]:
        self.on_proposal(lambda: torch.zeros_like(ids_Bhw[0].flatten(), dtype=torch.bool))
        return super().advance(ids_Bhw, past)

    def next_token(self, ids_Bn: Tensor, past: Past) -> Proposal:
        tokens = int(past.grid.prod())
        self.on_proposal(lambda: torch.arange(tokens) < ids_Bn.shape[1])
        return super().next_token(ids_Bn, past)
