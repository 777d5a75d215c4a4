"""Guidance without a classifier: away from what the prior says without the text, towards what it says with it.

Published as Ho and Salimans, "Classifier-free diffusion guidance" (2022). The prior is asked for 2B streams at
once, and the rest of the sampler sees B.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prior.interface import Proposal
from sampling.config import SamplerConfig
from sampling.schedule import scale_at


@dataclass(frozen=True)
class Guided:
    """A proposal for 2B streams, with the text and without it, as one for B; logits are finite or this has no sense."""

    proposal: Proposal
    scale: float | Tensor  # of all samples, or float32 [B]

    def logits(self, known_digits: Tensor) -> Tensor:
        """Without + scale * (with - without): odds move by the power `scale` of what the text does to them."""
        told, untold = self.proposal.logits(torch.cat([known_digits, known_digits])).chunk(2)
        scale = self.scale
        if isinstance(scale, Tensor):
            scale = scale.view(-1, *(1,) * (untold.ndim - 1))
        return untold + scale * (told - untold)

    def at(self, places_BM: Tensor) -> "Guided":
        return Guided(self.proposal.at(torch.cat([places_BM, places_BM])), self.scale)


def for_streams(ids_B: Tensor, sampler: SamplerConfig) -> Tensor:
    """Ids [B, ...] for every stream that the past holds: as they are, or twice where the sampler guides."""
    return torch.cat([ids_B, ids_B]) if sampler.guided else ids_B


def steered(
    proposal: Proposal, sampler: SamplerConfig, done: Sequence[int], steps: Sequence[int], device: torch.device
) -> Proposal:
    """The proposal of all streams of the past as the sampler sees it, B streams; of the `steps` of each sample, so many
    are done."""
    if not sampler.guided:
        return proposal
    ramp, most = sampler.guidance_schedule, sampler.guidance_scale
    scales = [scale_at(ramp, most, min(step, each - 1), each) for step, each in zip(done, steps, strict=True)]
    return Guided(proposal, scales[0] if len(set(scales)) == 1 else torch.tensor(scales, device=device))
