"""What a head promises: it draws the tokens of a latent frame from features, and says what the true ones cost."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenRNG


class TokenLosses(NamedTuple):
    """Of each token [...]: what training minimizes, the nats that the truth costs, whether it was the top guess."""

    loss: Tensor
    nats: Tensor
    right: Tensor


class Head(Protocol):
    """Reads features of tokens [..., C]; an nn.Module made of a PriorConfig."""

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        """Of the true codes [..., K]; smoothing is towards the uniform distribution."""

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenRNG) -> tuple[Tensor, Tensor]:
        """As `Proposal.sample`."""

    def guesses(self, features: Tensor) -> Tensor:
        """The likeliest codes [..., K], one after the other."""

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        """What the head makes of features along the true codes, to compare two ways of computing features."""


@dataclass(frozen=True)
class TokenProposal:
    """Features of each token of a latent frame [B, N, C], or of some of them, and the head that reads them."""

    features: Tensor
    head: Head

    def at(self, places_BM: Tensor) -> "TokenProposal":
        """Where the streams are in pairs for guidance, both of a pair are asked about the same places."""
        pairs = len(self.features) // len(places_BM)
        places_BM = places_BM if pairs == 1 else torch.cat([places_BM] * pairs)
        return TokenProposal(at_places(self.features, places_BM), self.head)

    def sample(self, settings: DrawSettings, rng: TokenRNG) -> tuple[Tensor, Tensor]:
        return self.head.sample(self.features, settings, rng)


def at_places(values_BN: Tensor, places_BM: Tensor) -> Tensor:
    """[B, N, ...] to [B, M, ...]."""
    index = places_BM.view(*places_BM.shape, *[1] * (values_BN.ndim - 2)).expand(-1, -1, *values_BN.shape[2:])
    return values_BN.gather(1, index)
