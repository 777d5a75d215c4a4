"""A prior whose progress can be watched: which tokens of a latent frame are decided while it is sampled."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interfaces.prior import Proposal
from prior.network import PriorNetwork
from prior.wrappers import PriorWrapper

OnProposal = Callable[[Callable[[], Tensor]], None]  # gets a function that says which tokens are decided: bool [N]


class ProgressPrior(PriorWrapper):
    """The same prior; `on_proposal` is called before it answers, and may raise to cancel the latent frame."""

    def __init__(self, prior: PriorNetwork, on_proposal: OnProposal):
        super().__init__(prior)
        self.on_proposal = on_proposal

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Any,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[Proposal, Any]:
        self.on_proposal(lambda: known_BN[0])
        return super().propose(codes_BNK, known_BN, past, control, positions_BM)

    def advance(
        self, codes_BNK: Tensor, past: Any, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[Any, Proposal]:
        self.on_proposal(lambda: torch.zeros(codes_BNK.shape[1], dtype=torch.bool))
        return super().advance(codes_BNK, past, control, next_control)

    def next_token(self, codes_BnK: Tensor, past: Any, control: Tensor | None = None) -> Proposal:
        self.on_proposal(lambda: torch.arange(past.spec.tokens) < codes_BnK.shape[1])
        return super().next_token(codes_BnK, past, control)
