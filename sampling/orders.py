"""Which tokens of a group a step reveals: an order scores the masked tokens, and the best are revealed."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sampling.config import Order, SamplerConfig
from sampling.halton import halton_ranks
from sampling.rng import CounterRNG


class RevealState(NamedTuple):
    """The inputs of an order."""

    confidence_BN: Tensor  # log-probability of the drawn codes; static orders ignore it
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
    share = left[0] if alike else torch.tensor(left, device=state.confidence_BN.device)[:, None].double()
    noise_BN = state.rng.gumbels("order", state.offset + state.step, *state.shape).flatten(1)
    return state.confidence_BN + state.sampler.noise * share * noise_BN


def by_certainty(state: RevealState) -> Tensor:
    return state.confidence_BN


def by_random_number(state: RevealState) -> Tensor:
    """One random number per token for all steps of a latent frame."""
    return state.rng.uniforms("order", state.offset, *state.shape).flatten(1)


def by_halton(state: RevealState) -> Tensor:
    height, width = (1, *state.shape)[-2:]
    ranks_N = halton_ranks(height, width, state.confidence_BN.device).flatten()
    return -ranks_N.expand_as(state.confidence_BN)


def by_raster(state: RevealState) -> Tensor:
    places_N = torch.arange(state.confidence_BN.shape[1], device=state.confidence_BN.device)
    return -places_N.expand_as(state.confidence_BN)


SCORES: dict[Order, Callable[[RevealState], Tensor]] = {
    "confidence": by_confidence,
    "threshold": by_certainty,
    "random": by_random_number,
    "halton": by_halton,
    "raster": by_raster,
}

STATIC_ORDERS: tuple[Order, ...] = ("random", "halton", "raster")  # independent of the drawn codes


def to_reveal(state: RevealState, unknown_BN: Tensor, masked_B: Tensor) -> Tensor:
    """bool [B, N]: the tokens to reveal, so that at most `masked_B` stay masked; at least one if one is masked."""
    due_B = (unknown_BN.sum(1) - masked_B).clamp_min(1)
    scores_BN = torch.where(unknown_BN, SCORES[state.sampler.order](state), -torch.inf)
    revealed_BN = ranks(scores_BN) < due_B[:, None]
    if state.sampler.order == "threshold":
        revealed_BN = revealed_BN | (state.confidence_BN >= math.log(state.sampler.threshold))
    return revealed_BN & unknown_BN


def ranks(scores_BN: Tensor) -> Tensor:
    """int64 [B, N]: the rank of each token, the highest score first; ties in decode order."""
    return scores_BN.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
