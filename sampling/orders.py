"""Which tokens of a group a step reveals: an order scores the masked tokens, and the best are revealed."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from interfaces.prior import Score
from sampling.config import Order, SamplerConfig
from sampling.halton import halton_ranks
from sampling.rng import CounterRNG


class RevealState(NamedTuple):
    """The inputs of an order."""

    score_BN: Tensor  # of the drawn codes, by `SCORES`; static orders ignore it
    shape: tuple[int, ...]  # of the group
    step: int  # from 0
    steps: tuple[int, ...]  # of each sample
    offset: int  # keeps the random numbers of groups apart
    sampler: SamplerConfig
    rng: CounterRNG


def by_confidence(state: RevealState) -> Tensor:
    """Confidence with Gumbel noise that fades within each latent frame; it keeps videos from freezing."""
    left = [1 - min((state.step + 1) / steps, 1.0) if steps else 0.0 for steps in state.steps]
    alike = len(set(left)) == 1  # usually: then no transfer to a GPU is needed
    share = left[0] if alike else torch.tensor(left, device=state.score_BN.device)[:, None].double()
    noise_BN = state.rng.gumbels("order", state.offset + state.step, *state.shape).flatten(1)
    return state.score_BN + state.sampler.noise * share * noise_BN


def by_certainty(state: RevealState) -> Tensor:
    return state.score_BN


def by_entropy(state: RevealState) -> Tensor:
    return -state.score_BN


def by_random_number(state: RevealState) -> Tensor:
    """One random number per token for all steps of a latent frame."""
    return state.rng.uniforms("order", state.offset, *state.shape).flatten(1)


def by_halton(state: RevealState) -> Tensor:
    height, width = (1, *state.shape)[-2:]
    ranks_N = halton_ranks(height, width, state.score_BN.device).flatten()
    return -ranks_N.expand_as(state.score_BN)


def by_raster(state: RevealState) -> Tensor:
    places_N = torch.arange(state.score_BN.shape[1], device=state.score_BN.device)
    return -places_N.expand_as(state.score_BN)


PRIORITIES: dict[Order, Callable[[RevealState], Tensor]] = {
    "confidence": by_confidence,
    "threshold": by_certainty,
    "entropy": by_entropy,
    "random": by_random_number,
    "halton": by_halton,
    "raster": by_raster,
}

SCORES: dict[Order, Score] = {  # what an order needs to know of the drawn codes
    "confidence": "log_probability",
    "threshold": "log_probability",
    "entropy": "entropy",
}
STATIC_ORDERS = tuple(order for order in PRIORITIES if order not in SCORES)  # independent of the drawn codes


def above_threshold(state: RevealState, ranks_BN: Tensor) -> Tensor:
    return state.score_BN >= math.log(state.sampler.threshold)


def below_entropy_bound(state: RevealState, ranks_BN: Tensor) -> Tensor:
    """The most tokens, lowest entropy first, whose entropies without the largest have a sum within the bound.

    Drawn independently, tokens differ from their joint distribution by at most this sum, in nats of the KL divergence.
    Published as Ben-Hamu et al., "Accelerated sampling from masked diffusion models via entropy bounded unmasking"
    (2025).
    """
    sorted_BN = torch.zeros_like(state.score_BN, dtype=torch.float64).scatter(1, ranks_BN, state.score_BN.double())
    before_BN = F.pad(sorted_BN.cumsum(1)[:, :-1], (1, 0))  # the largest of a set is its last
    return before_BN.gather(1, ranks_BN) <= state.sampler.entropy_bound


ADAPTIVE_ORDERS: dict[Order, Callable[[RevealState, Tensor], Tensor]] = {  # may reveal more than the schedule asks for
    "threshold": above_threshold,
    "entropy": below_entropy_bound,
}


def to_reveal(state: RevealState, unknown_BN: Tensor, masked_B: Tensor) -> Tensor:
    """bool [B, N]: the tokens to reveal, so that at most `masked_B` stay masked; at least one if one is masked."""
    order = state.sampler.order
    due_B = (unknown_BN.sum(1) - masked_B).clamp_min(1)
    ranks_BN = ranks(torch.where(unknown_BN, PRIORITIES[order](state), -torch.inf))
    revealed_BN = ranks_BN < due_B[:, None]
    if order in ADAPTIVE_ORDERS:
        revealed_BN = revealed_BN | ADAPTIVE_ORDERS[order](state, ranks_BN)
    return revealed_BN & unknown_BN


def ranks(scores_BN: Tensor) -> Tensor:
    """int64 [B, N]: the rank of each token, the highest score first; ties in decode order."""
    return scores_BN.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
