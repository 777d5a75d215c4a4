"""Samples a latent frame token by token in decode order, from a prior with objective autoregressive."""

from typing import TypeVar

import torch

from interfaces.prior import AutoregressivePrior
from sampling.config import SamplerConfig
from sampling.guidance import control_for_guidance, duplicate_for_guidance, guidance_scale
from sampling.maskgit import LatentFrame, SampledFrame, draw_settings
from sampling.rng import CounterRNG, StepRNG

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


@torch.no_grad()
def autoregressive(
    prior: AutoregressivePrior[PastT, PresentT],
    past: PastT,
    frame: LatentFrame,
    sampler: SamplerConfig,
    rng: CounterRNG,
) -> SampledFrame:
    """Samples the unknown tokens; stops after the last of them."""
    codes_BNK, masked_BN = frame.codes_BNK.clone(), ~frame.known_BN
    control = control_for_guidance(frame.control, sampler)
    steps, ranks = masked_BN.sum(1).tolist(), (masked_BN.cumsum(1) - 1).clamp_min(0).T.tolist()
    steps_B = (masked_BN * torch.arange(1, masked_BN.shape[1] + 1, device=codes_BNK.device)).amax(1)
    first_B1 = torch.zeros_like(steps_B).unsqueeze(1)
    for position in range(int(steps_B.max())):
        proposal = prior.next_token(duplicate_for_guidance(codes_BNK[:, :position], sampler), past, control)
        scale = guidance_scale(sampler, ranks[position], steps, codes_BNK.device)
        settings = draw_settings(sampler, scale)
        drawn_B1K, _ = proposal.sample(settings, StepRNG(rng, position, (1, 1), first_B1))
        drawn_BK = drawn_B1K[:, 0].to(codes_BNK.dtype)
        codes_BNK[:, position] = torch.where(masked_BN[:, position].unsqueeze(-1), drawn_BK, codes_BNK[:, position])
    return SampledFrame(codes_BNK, steps_B)
