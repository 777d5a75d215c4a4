"""A frame in a few proposals: each decides many tokens, and the next is asked with them known.

Published as Chang et al., "MaskGIT: masked generative image transformer" (2022).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from prior.interface import FramePrior, Proposal
from sampling.chance import Chance
from sampling.choice import choose
from sampling.config import SamplerConfig
from sampling.decided import Decided
from sampling.guidance import for_streams, steered
from sampling.orders import BLIND, View, to_reveal
from sampling.schedule import masked_after

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


@torch.no_grad()
def maskgit(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    ids_Bhw: Tensor,
    sampler: SamplerConfig,
    chance: Chance,
    proposal: Proposal | None = None,
) -> Decided:
    """Decide the masked ones of `ids_Bhw`; what is given stays. `proposal` is that for these ids, if it is known.

    A sample that is done stays as it is while others go on, so each gets what it would get alone. Tokens are drawn only
    where they may be kept: digit by digit, that costs as much as a layer of a small prior.
    """
    vocabulary, (batch, height, width) = prior.vocabulary, ids_Bhw.shape
    blind, counts = sampler.order in BLIND, (ids_Bhw == vocabulary.mask).sum((1, 2)).tolist()
    steps = tuple(sampler.steps_of(count) for count in counts)
    steps_B = torch.zeros(batch, dtype=torch.int64, device=ids_Bhw.device)
    for step, turn in enumerate(plan(counts, sampler, ids_Bhw.device)):
        unknown_Bhw = ids_Bhw == vocabulary.mask
        if sampler.order == "threshold" and not unknown_Bhw.any():
            break  # the only order that may be done before its plan: no other waits for the answer
        view = View(torch.zeros(ids_Bhw.shape, device=ids_Bhw.device), step, steps, sampler, chance)
        due_Bhw = to_reveal(view, unknown_Bhw, turn.masked_B) if blind else unknown_Bhw
        places_BM = places_of(due_Bhw, turn.due if blind else turn.unknown)
        if step > 0 or proposal is None:
            asked, _ = prior.propose(for_streams(ids_Bhw, sampler), past, for_streams(places_BM, sampler))
        else:
            asked = proposal.at(for_streams(places_BM, sampler))
        uniforms = chance.uniforms("digits", step, height, width, len(vocabulary.digits)).flatten(1, 2)
        uniforms = uniforms.gather(1, places_BM.unsqueeze(-1).expand(-1, -1, uniforms.shape[-1]))
        choice = choose(
            steered(asked, sampler, (step,) * batch, steps, ids_Bhw.device),
            vocabulary,
            sampler,
            uniforms,
            weighed=not blind,
        )
        if not blind:
            view = view._replace(confidence_Bhw=put(view.confidence_Bhw, places_BM, choice.confidence))
            due_Bhw = to_reveal(view, unknown_Bhw, turn.masked_B)
        ids_Bhw = torch.where(due_Bhw, put(ids_Bhw, places_BM, choice.ids), ids_Bhw)
        steps_B = steps_B + unknown_Bhw.flatten(1).any(1)
    return Decided(ids_Bhw, steps_B)


class Turn(NamedTuple):
    """A step of the plan."""

    masked_B: Tensor  # int64: how many tokens of each sample may be masked still after it
    unknown: int  # tokens of a sample that may be masked before it, at most
    due: int  # and that are decided in it


def plan(counts: Sequence[int], sampler: SamplerConfig, device: torch.device) -> Iterator[Turn]:
    """For so many masked tokens of each sample; in the end none is. All is known beforehand, so that nobody has to wait
    for a GPU to count."""
    most = max(sampler.steps_of(count) for count in counts)
    masked = [masked_after(sampler.schedule, count, sampler.steps_of(count)) for count in counts]
    left = [tuple(counts), *zip(*(row + (0,) * (most - len(row)) for row in masked), strict=True)]
    masked_SB = torch.tensor(left[1:], device=device)
    for (before, after), masked_B in zip(pairwise(left), masked_SB, strict=True):
        yield Turn(masked_B, max(before), max(was - now for was, now in zip(before, after, strict=True)))


def places_of(wanted_Bhw: Tensor, count: int) -> Tensor:
    """int64 [B, M]: in raster order the places that are wanted, at most `count`, and then others.

    Two at least: matrices may take another way for one place alone, and a sample would differ from itself in a batch.
    """
    return wanted_Bhw.flatten(1).byte().argsort(dim=1, descending=True, stable=True)[:, : max(count, 2)]


def put(values_Bhw: Tensor, places_BM: Tensor, some_BM: Tensor) -> Tensor:
    return values_Bhw.flatten(1).scatter(1, places_BM, some_BM).view_as(values_Bhw)
