"""Checks the outputs of a prior for NaN and infinity, from damaged weights or too low a precision."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, Proposal, TokenSource
from prior.network import PriorNetwork
from prior.wrappers import PriorWrapper
from videogen.errors import NumbersError


class GuardedPrior(PriorWrapper):
    """Wraps a prior for one latent frame; call `check` after it.

    Only `check` synchronizes a GPU. Until then NaN and infinity are replaced by 0, because sampling from them could
    crash.
    """

    def __init__(self, prior: PriorNetwork):
        super().__init__(prior)
        self.broken = torch.zeros((), dtype=torch.bool, device=prior.device)

    def check(self, frame: int) -> None:
        if self.broken:
            raise NumbersError(
                f"the outputs of the prior at latent frame {frame} contain NaN or infinity; "
                "its weights are damaged, or it needs a wider dtype (float32, or bfloat16 in place of float16)"
            )

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Any,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> "tuple[GuardedProposal, Any]":
        proposal, present = self.prior.propose(codes_BNK, known_BN, past, control, positions_BM)
        return GuardedProposal(proposal, self.broken), present

    def advance(
        self, codes_BNK: Tensor, past: Any, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> "tuple[Any, GuardedProposal]":
        past, proposal = self.prior.advance(codes_BNK, past, control, next_control)
        return past, GuardedProposal(proposal, self.broken)

    def next_token(self, codes_BnK: Tensor, past: Any, control: Tensor | None = None) -> "GuardedProposal":
        return GuardedProposal(self.prior.next_token(codes_BnK, past, control), self.broken)


@dataclass(frozen=True)
class GuardedProposal:
    proposal: Proposal
    broken: Tensor  # bool, set in place

    def at(self, positions_BM: Tensor) -> "GuardedProposal":
        return GuardedProposal(self.proposal.at(positions_BM), self.broken)

    def sample(self, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        return self.proposal.sample(replace(settings, broken=self.broken), rng)

    def log_probability(self, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        return self.proposal.log_probability(codes_BMK, replace(settings, broken=self.broken))
