"""A frame in a few proposals: each decides many tokens, and the next is asked with them known.

Published as Chang et al., "MaskGIT: masked generative image transformer" (2022).
"""

from typing import TypeVar

import torch
from torch import Tensor

from prior.interface import FramePrior, Proposal
from sampling.chance import Chance
from sampling.choice import choose
from sampling.config import SamplerConfig
from sampling.decided import Decided
from sampling.guidance import for_streams, steered
from sampling.orders import View, to_reveal
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

    A sample that is done stays as it is while others go on, so each gets what it would get alone.
    """
    vocabulary, (batch, height, width) = prior.vocabulary, ids_Bhw.shape
    steps = sampler.steps_of(height * width)
    steps_B = torch.zeros(batch, dtype=torch.int64, device=ids_Bhw.device)
    for step, masked_B in enumerate(plan(ids_Bhw == vocabulary.mask, sampler)):
        unknown_Bhw = ids_Bhw == vocabulary.mask
        if sampler.order == "threshold" and not unknown_Bhw.any():
            break  # the only order that may be done before its plan: no other waits for the answer
        if step > 0 or proposal is None:
            proposal, _ = prior.propose(for_streams(ids_Bhw, sampler), past)
        uniforms = chance.uniforms("digits", step, height, width, len(vocabulary.digits))
        choice = choose(steered(proposal, sampler, step, steps), vocabulary, sampler, uniforms)
        view = View(choice.confidence, step, steps, sampler, chance)
        ids_Bhw = torch.where(to_reveal(view, unknown_Bhw, masked_B), choice.ids, ids_Bhw)
        steps_B = steps_B + unknown_Bhw.flatten(1).any(1)
    return Decided(ids_Bhw, steps_B)


def plan(unknown_Bhw: Tensor, sampler: SamplerConfig) -> Tensor:
    """int64 [steps, B]: how many tokens of each sample may be masked still after each step; all are done in the end."""
    counts = unknown_Bhw.sum((1, 2)).tolist()
    most = max(sampler.steps_of(count) for count in counts)
    masked = [masked_after(sampler.schedule, count, sampler.steps_of(count)) for count in counts]
    padded = [row + (0,) * (most - len(row)) for row in masked]
    return torch.tensor(padded, dtype=torch.int64, device=unknown_Bhw.device).T
