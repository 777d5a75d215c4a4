"""The interface of a head: it samples tokens from features, and computes the loss of the true ones."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenRNG


class TokenLosses(NamedTuple):
    """For each token [...]: the training loss, the negative log-likelihood in nats, whether the top guess is right."""

    loss: Tensor
    nats: Tensor
    right: Tensor


class Head(Protocol):
    """The distribution of tokens given their features [..., C]; an nn.Module made from a PriorConfig."""

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        """The losses of the true codes [..., K]; `smoothing` is label smoothing."""

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenRNG) -> tuple[Tensor, Tensor]:
        """See `interfaces.prior.Proposal.sample`."""

    def guesses(self, features: Tensor) -> Tensor:
        """The most likely codes [..., K], each given those before it."""

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        """The outputs of the head given the true codes, such as logits; laws compare them."""


@dataclass(frozen=True)
class TokenProposal:
    """Features of each token of a latent frame [B, N, C], or of some of them, and the head that reads them."""

    features: Tensor
    head: Head

    def at(self, positions_BM: Tensor) -> "TokenProposal":
        """With guidance, both streams of a pair use the same positions."""
        pairs = len(self.features) // len(positions_BM)
        positions_BM = positions_BM if pairs == 1 else torch.cat([positions_BM] * pairs)
        return TokenProposal(at_positions(self.features, positions_BM), self.head)

    def sample(self, settings: DrawSettings, rng: TokenRNG) -> tuple[Tensor, Tensor]:
        return self.head.sample(self.features, settings, rng)


def at_positions(values_BN: Tensor, positions_BM: Tensor) -> Tensor:
    """[B, N, ...] to [B, M, ...]."""
    index = positions_BM.view(*positions_BM.shape, *[1] * (values_BN.ndim - 2)).expand(-1, -1, *values_BN.shape[2:])
    return values_BN.gather(1, index)
