"""`videogen selftest` for a tokenizer: exact streaming, causality and lossless codes, checked on its weights."""

import random
from typing import Any

import torch

from interfaces.tokenizer import VideoTokenizer
from interfaces.verdict import Verdict
from tokenizer import laws
from tokenizer.networks.condition.fixed import FixedCondition
from tokenizer.precision import without_tf32
from videogen.models import TokenizerModel

TOLERANCE = 1e-4  # of clips in [-1, 1], where equality is up to float rounding
PLANS = 3
CAPTION = "a small red ring drifts left"
LATENT_FRAMES = 4
MULTIPLES = (2, 3)  # of the smallest frame size: small, and not square


def check_tokenizer_laws(model: TokenizerModel, seed: int) -> list[Verdict]:
    """One verdict for each law, on small clips of noise, in full float32 on a GPU too."""
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    tokenizer, (height, width) = model.network, small_size(model)
    spec = tokenizer.spec(height, width)
    shape = (1, tokenizer.channels, spec.video_frames(LATENT_FRAMES), height, width)
    clip = (torch.rand(shape, generator=generator) * 2 - 1).to(tokenizer.device)
    ragged = torch.cat([clip, clip[:, :, : spec.frames_per_latent // 2]], dim=2)
    plans = [[1] * ragged.shape[2], *(_random_plan(ragged.shape[2], draw) for _ in range(PLANS))]
    with without_tf32():
        return list(laws.check(with_caption(model), ragged, plans, TOLERANCE))


def with_caption(model: TokenizerModel) -> VideoTokenizer:
    """The tokenizer; one whose decoder has a condition is given a caption in all streams."""
    if model.conditioner is None:
        return model.network
    network: Any = model.network
    return FixedCondition(network, model.conditioner([CAPTION]).to(model.device))


def small_size(model: TokenizerModel, multiples: tuple[int, int] = MULTIPLES) -> tuple[int, int]:
    """A frame size that takes seconds; that of training for a tokenizer that has only one."""
    rows, columns = (model.network.size_multiple * count for count in multiples)
    try:
        model.spec_of(rows, columns)
    except ValueError:
        return model.clips.height, model.clips.width
    return rows, columns


def _random_plan(frames: int, draw: random.Random) -> list[int]:
    plan: list[int] = []
    while sum(plan) < frames:
        plan.append(draw.randint(0, min(7, frames - sum(plan))))
    return plan
