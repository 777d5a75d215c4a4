"""What the ways to a prior of few proposals share."""

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.distillation import revealed_by_step
from sampling.halton import halton_ranks
from sampling.schedule import masked_after
from videogen.errors import UsageError


def steps_revealed(spec: TokenSpec, proposals: int) -> list[Tensor]:
    """bool [N] for each proposal: the tokens that it reveals, as the sampler with the order halton does."""
    if len(spec.groups) > 1:
        raise UsageError(f"few proposals are for tokens in one group; these are {spec}")
    if proposals > spec.tokens:
        raise UsageError(f"proposals is {proposals}; a latent frame has {spec.tokens} tokens")
    height, width = (1, *spec.groups[0].shape)[-2:]
    ranks_N = halton_ranks(height, width, torch.device("cpu")).flatten()
    return revealed_by_step(ranks_N, masked_after("cosine", spec.tokens, proposals))


def mean_over(values_BTN: Tensor, counted_BTN: Tensor) -> Tensor:
    """The mean over the counted tokens; zero if none is."""
    return (values_BTN * counted_BTN).sum() / counted_BTN.sum().clamp_min(1)
