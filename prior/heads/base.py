"""The interface of a head: it samples tokens from features, and computes the loss of the true ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenSource
from interfaces.tokens import TokenSpec


class TokenLosses(NamedTuple):
    """For each token [...]: the training loss, the negative log-likelihood in nats, whether the top guess is right.

    A head without a likelihood has its loss in place of nats, and no top guess is right.
    """

    loss: Tensor
    nats: Tensor
    right: Tensor
    caption: "TokenLosses | None" = None  # those of the tokens of captions [B, L], if a prior was given some to learn


class Head(Protocol):
    """The distribution of tokens given their features [..., C]; an nn.Module."""

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        """The losses of the true codes [..., K]; `smoothing` is label smoothing."""

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        """See `interfaces.prior.Proposal.sample`."""

    def guesses(self, features: Tensor) -> Tensor:
        """The most likely codes [..., K], each given those before it."""

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        """The outputs of the head given the true codes, such as logits; laws compare them."""


class LikelihoodHead(Head, Protocol):
    """A head that knows the probability of a token, as its configuration says (`likelihood`)."""

    def log_probability(self, features_BMC: Tensor, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        """See `interfaces.prior.Proposal.log_probability`."""


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

    def sample(self, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        return self.head.sample(self.features, settings, rng)

    def log_probability(self, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        return cast(LikelihoodHead, self.head).log_probability(self.features, codes_BMK, settings)


def at_positions(values_BN: Tensor, positions_BM: Tensor) -> Tensor:
    """[B, N, ...] to [B, M, ...]."""
    index = positions_BM.view(*positions_BM.shape, *[1] * (values_BN.ndim - 2)).expand(-1, -1, *values_BN.shape[2:])
    return values_BN.gather(1, index)


def codebooks_of(spec: TokenSpec, kind: str) -> tuple[int, ...]:
    """The sizes of the codebooks; ValueError for continuous tokens."""
    if spec.continuous:
        raise ValueError(f"head = {kind} needs codebooks, but these tokens are continuous; use flow")
    return spec.codebooks


def code_losses(logits_V: Tensor, code: Tensor, smoothing: float) -> TokenLosses:
    """The losses of one code, from its logits."""
    log_p = logits_V.log_softmax(-1)
    cost = -log_p.gather(-1, code.unsqueeze(-1)).squeeze(-1)
    right = log_p.detach().argmax(-1) == code
    loss = cost if smoothing == 0 else (1 - smoothing) * cost - smoothing * log_p.mean(-1)
    return TokenLosses(loss, cost.detach(), right)


def sum_losses(parts: Iterable[TokenLosses]) -> TokenLosses:
    """The losses of tokens, from those of their codes."""
    first, *rest = parts
    loss, nats, right, _ = first
    for part in rest:
        loss, nats, right = loss + part.loss, nats + part.nats, right & part.right
    return TokenLosses(loss, nats, right)
