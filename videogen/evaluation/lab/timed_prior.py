"""A prior wrapper that sums the seconds spent in the network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from interfaces.prior import DrawSettings, Proposal, TokenSource
from prior.network import PriorNetwork
from prior.wrappers import PriorWrapper

Result = TypeVar("Result")


class TimedPrior(PriorWrapper):
    """Times blocks and head; the clock must wait for the device."""

    def __init__(self, prior: PriorNetwork, clock: Callable[[], float]):
        super().__init__(prior)
        self.clock, self.seconds = clock, 0.0

    def timed(self, work: Callable[[], Result]) -> Result:
        began = self.clock()
        result = work()
        self.seconds += self.clock() - began
        return result

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Any,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> "tuple[TimedProposal, Any]":
        proposal, present = self.timed(lambda: self.prior.propose(codes_BNK, known_BN, past, control, positions_BM))
        return TimedProposal(proposal, self), present

    def commit(self, past: Any, present: Any) -> Any:
        return self.timed(lambda: self.prior.commit(past, present))

    def advance(
        self, codes_BNK: Tensor, past: Any, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> "tuple[Any, TimedProposal]":
        past, proposal = self.timed(lambda: self.prior.advance(codes_BNK, past, control, next_control))
        return past, TimedProposal(proposal, self)

    def next_token(self, codes_BnK: Tensor, past: Any, control: Tensor | None = None) -> "TimedProposal":
        return TimedProposal(self.timed(lambda: self.prior.next_token(codes_BnK, past, control)), self)


@dataclass(frozen=True)
class TimedProposal:
    proposal: Proposal
    prior: TimedPrior

    def at(self, positions_BM: Tensor) -> "TimedProposal":
        return TimedProposal(self.prior.timed(lambda: self.proposal.at(positions_BM)), self.prior)

    def sample(self, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        return self.prior.timed(lambda: self.proposal.sample(settings, rng))

    def log_probability(self, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        return self.prior.timed(lambda: self.proposal.log_probability(codes_BMK, settings))
