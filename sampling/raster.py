"""A frame token by token, row by row, by a prior that was taught so: the exact chain rule, and many small questions."""

from typing import TypeVar

import torch
from torch import Tensor

from prior.interface import RasterPrior
from sampling.chance import Chance
from sampling.choice import choose
from sampling.config import SamplerConfig
from sampling.decided import Decided
from sampling.guidance import for_streams, steered

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


@torch.no_grad()
def raster(
    prior: RasterPrior[PastT, PresentT], past: PastT, ids_Bhw: Tensor, sampler: SamplerConfig, chance: Chance
) -> Decided:
    """Decide the masked ones of `ids_Bhw`; what is given stays. Nothing is asked beyond the last that is masked."""
    vocabulary, ids_BN = prior.vocabulary, ids_Bhw.flatten(1).clone()
    masked_BN = ids_BN == vocabulary.mask
    steps, ranks = masked_BN.sum(1).tolist(), (masked_BN.cumsum(1) - 1).clamp_min(0).T.tolist()
    steps_B = (masked_BN * torch.arange(1, masked_BN.shape[1] + 1, device=ids_BN.device)).amax(1)
    for place in range(int(steps_B.max())):
        proposal = prior.next_token(for_streams(ids_BN[:, :place], sampler), past)
        uniforms = chance.uniforms("digits", place, 1, 1, len(vocabulary.digits))
        proposal = steered(proposal, sampler, ranks[place], steps, ids_BN.device)
        choice = choose(proposal, vocabulary, sampler, uniforms, weighed=False)
        ids_BN[:, place] = torch.where(masked_BN[:, place], choice.ids.flatten(), ids_BN[:, place])
    return Decided(ids_BN.view_as(ids_Bhw), steps_B)
