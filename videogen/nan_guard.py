"""A prior that is watched for answers that are no numbers: weights gone bad, or a precision too small for them."""

from dataclasses import dataclass

import torch
from prior.interface import Proposal
from torch import Tensor

from prior.memory import Past, Present
from prior.model import LlamaPrior
from prior.wrappers import StandIn
from videogen.errors import NumbersError


class Watched(StandIn):
    """The same prior for the length of one latent frame; ask `check` at its end.

    Nothing waits for a GPU before that. Until then what is no number counts as 0: to draw by it could end the process.
    """

    def __init__(self, prior: LlamaPrior):
        super().__init__(prior)
        self.broken = torch.zeros((), dtype=torch.bool, device=prior.norm.weight.device)

    def check(self, frame: int) -> None:
        if self.broken:
            raise NumbersError(
                f"the prior's answers at latent frame {frame} hold NaN or infinity; "
                "its weights are damaged, or it needs a wider dtype (float32, or bfloat16 in place of float16)"
            )

    def watched(self, proposal: Proposal) -> "WatchedProposal":
        return WatchedProposal(proposal, self)

    def propose(
        self, ids_Bhw: Tensor, past: Past, places_BM: Tensor | None = None
    ) -> "tuple[WatchedProposal, Present]":
        proposal, present = self.prior.propose(ids_Bhw, past, places_BM)
        return self.watched(proposal), present

    def advance(self, ids_Bhw: Tensor, past: Past) -> "tuple[Past, WatchedProposal]":
        past, proposal = self.prior.advance(ids_Bhw, past)
        return past, self.watched(proposal)

    def next_token(self, ids_Bn: Tensor, past: Past) -> "WatchedProposal":
        return self.watched(self.prior.next_token(ids_Bn, past))


@dataclass(frozen=True)
class WatchedProposal:
    proposal: Proposal
    watch: Watched

    def logits(self, known_digits: Tensor) -> Tensor:
        logits = self.proposal.logits(known_digits)
        self.watch.broken |= ~logits.sum(dtype=torch.float32).isfinite()  # one number that is none spoils the sum
        return logits.nan_to_num(0.0, 0.0, 0.0)

    def at(self, places_BM: Tensor) -> "WatchedProposal":
        return WatchedProposal(self.proposal.at(places_BM), self.watch)
