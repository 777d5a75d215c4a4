"""A prior that passes every call on and counts the seconds it took: what of a latent frame's time is the network's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from interfaces.prior import Proposal
from torch import Tensor

from prior.memory import Past, Present
from prior.model import LlamaPrior
from prior.wrappers import StandIn

Result = TypeVar("Result")


class TimedPrior(StandIn):
    """Blocks and head together; the clock is one that waits until the device is done."""

    def __init__(self, prior: LlamaPrior, clock: Callable[[], float]):
        super().__init__(prior)
        self.clock, self.seconds = clock, 0.0

    def over(self, work: Callable[[], Result]) -> Result:
        began = self.clock()
        result = work()
        self.seconds += self.clock() - began
        return result

    def propose(self, ids_Bhw: Tensor, past: Past, places_BM: Tensor | None = None) -> "tuple[TimedProposal, Present]":
        proposal, present = self.over(lambda: self.prior.propose(ids_Bhw, past, places_BM))
        return TimedProposal(proposal, self), present

    def commit(self, past: Past, present: Present) -> Past:
        return self.over(lambda: self.prior.commit(past, present))

    def advance(self, ids_Bhw: Tensor, past: Past) -> "tuple[Past, TimedProposal]":
        past, proposal = self.over(lambda: self.prior.advance(ids_Bhw, past))
        return past, TimedProposal(proposal, self)

    def next_token(self, ids_Bn: Tensor, past: Past) -> "TimedProposal":
        return TimedProposal(self.over(lambda: self.prior.next_token(ids_Bn, past)), self)


@dataclass(frozen=True)
class TimedProposal:
    proposal: Proposal
    timed: TimedPrior

    def logits(self, known_digits: Tensor) -> Tensor:
        return self.timed.over(lambda: self.proposal.logits(known_digits))

    def at(self, places_BM: Tensor) -> "TimedProposal":
        return TimedProposal(self.timed.over(lambda: self.proposal.at(places_BM)), self.timed)
