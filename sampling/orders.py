"""Which tokens to decide next: an order scores the places of a frame, and the best of those undecided are due."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sampling.chance import Chance
from sampling.config import Order, SamplerConfig
from sampling.halton import halton_ranks


class View(NamedTuple):
    """What an order may look at."""

    confidence_Bhw: Tensor  # log-probability of what was drawn at each place; of no meaning to an order that is blind
    step: int  # from 0
    steps: tuple[int, ...]  # of each sample
    sampler: SamplerConfig
    chance: Chance


def by_confidence(view: View) -> Tensor:
    """Noise fades from step to step of a frame and is back at the next: it is what keeps frames from freezing."""
    left = [1 - min((view.step + 1) / steps, 1.0) if steps else 0.0 for steps in view.steps]
    alike = len(set(left)) == 1  # mostly: then nothing has to be sent to a GPU
    share = left[0] if alike else torch.tensor(left, device=view.confidence_Bhw.device)[:, None, None].double()
    return view.confidence_Bhw + view.sampler.noise * share * view.chance.gumbels(
        "order", view.step, *view.confidence_Bhw.shape[1:]
    )


def by_sureness(view: View) -> Tensor:
    return view.confidence_Bhw


def by_chance(view: View) -> Tensor:
    """One lot a place for all steps of a frame."""
    return view.chance.uniforms("order", 0, *view.confidence_Bhw.shape[1:])


def by_halton(view: View) -> Tensor:
    _, height, width = view.confidence_Bhw.shape
    return -halton_ranks(height, width, view.confidence_Bhw.device).expand_as(view.confidence_Bhw)


def by_place(view: View) -> Tensor:
    _, height, width = view.confidence_Bhw.shape
    places = torch.arange(height * width, device=view.confidence_Bhw.device).view(height, width)
    return -places.expand_as(view.confidence_Bhw)


SCORES: dict[Order, Callable[[View], Tensor]] = {
    "confidence": by_confidence,
    "threshold": by_sureness,
    "random": by_chance,
    "halton": by_halton,
    "raster": by_place,
}

BLIND: tuple[Order, ...] = ("random", "halton", "raster")  # whose turn it is they know before anything is drawn


def to_reveal(view: View, unknown_Bhw: Tensor, masked_B: Tensor) -> Tensor:
    """bool [B, h, w]: unknown places, so many that at most `masked_B` stay masked; one at least while there is one."""
    due_B = (unknown_Bhw.sum((1, 2)) - masked_B).clamp_min(1)
    scores_Bhw = torch.where(unknown_Bhw, SCORES[view.sampler.order](view), -torch.inf)
    revealed_Bhw = ranks(scores_Bhw) < due_B[:, None, None]
    if view.sampler.order == "threshold":
        revealed_Bhw = revealed_Bhw | (view.confidence_Bhw >= math.log(view.sampler.threshold))
    return revealed_Bhw & unknown_Bhw


def ranks(scores_Bhw: Tensor) -> Tensor:
    """int64 [B, h, w]: whose turn is when, the highest score first; equals in raster order."""
    best_first_BN = scores_Bhw.flatten(1).argsort(dim=1, descending=True, stable=True)
    return best_first_BN.argsort(dim=1).view_as(scores_Bhw)
