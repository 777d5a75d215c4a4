"""Classifier-free guidance: the past has each stream twice, with text or control and then without."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interfaces.control import absent_like
from sampling.config import SamplerConfig
from sampling.schedule import is_within, scale_at


def duplicate_for_guidance(values_B: Tensor, sampler: SamplerConfig) -> Tensor:
    """[B, ...] to [2B, ...] if the sampler uses guidance, else unchanged."""
    return torch.cat([values_B, values_B]) if sampler.guided else values_B


def control_for_guidance(control_B: Tensor | None, sampler: SamplerConfig) -> Tensor | None:
    """The control of both streams of each sample; the second one has none if `guidance_drops` says so."""
    if control_B is None or not sampler.guided:
        return control_B
    return torch.cat([control_B, absent_like(control_B) if sampler.drops_control else control_B])


def guidance_scale(
    sampler: SamplerConfig, done: Sequence[int], steps: Sequence[int], device: torch.device
) -> float | Tensor | None:
    """The scale at this step, a number or float32 [B], after `done` of `steps` of each sample; None: no guidance."""
    if not sampler.guided:
        return None
    scales = [scale_of(sampler, min(step, each - 1), each) for step, each in zip(done, steps, strict=True)]
    return scales[0] if len(set(scales)) == 1 else torch.tensor(scales, device=device)


def scale_of(sampler: SamplerConfig, step: int, steps: int) -> float:
    """The scale of step number `step` (from 0) of a sample; 1 outside of the interval of guidance.

    Published as Kynkaanniemi et al., "Applying guidance in a limited interval improves sample and distribution quality
    in diffusion models" (2024). The past needs its streams without text in later steps, so no pass is saved.
    """
    if not is_within(sampler.guidance_start, sampler.guidance_end, step, steps):
        return 1.0
    return scale_at(sampler.guidance_schedule, sampler.guidance_scale, step, steps)
