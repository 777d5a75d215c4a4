"""The laws of DESIGN, checked on somebody's own weights."""

import random
from collections.abc import Iterator

import torch

from tokenizer import laws
from tokenizer.laws import Verdict
from tokenizer.networks.cnn import VideoTokenizer
from tokenizer.precision import whole_float32

TOLERANCE = 1e-4  # of clips in [-1, 1], for what is equal to float rounding only
PLANS = 3


def check_tokenizer_laws(network: VideoTokenizer, seed: int) -> list[Verdict]:
    """A verdict a law, on clips of noise small enough to take seconds, in whole float32 on a GPU too."""
    with whole_float32():
        return list(_check_all(network, random.Random(seed), torch.Generator().manual_seed(seed)))


def _check_all(network: VideoTokenizer, draw: random.Random, generator: torch.Generator) -> Iterator[Verdict]:
    config, device = network.config, next(network.parameters()).device
    groups, height, width = 3, 2 * config.f_s, 3 * config.f_s
    shape = (1, config.channels, 1 + groups * config.f_t, height, width)
    clip = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
    ragged = torch.cat([clip, clip[:, :, : config.f_t // 2]], dim=2)
    for plan in ([1] * ragged.shape[2], *(_random_plan(ragged.shape[2], draw) for _ in range(PLANS))):
        yield laws.any_chunk_plan_gives_the_offline_result(network, ragged, plan)
    yield laws.streaming_is_the_training_path(network, clip, TOLERANCE)
    with torch.enable_grad():
        yield laws.encoder_is_causal(network, clip)
        yield laws.decoder_is_causal(network, clip)
    yield laws.a_state_can_be_used_twice(network, clip)
    yield laws.a_state_does_not_grow(network, clip, rounds=4)
    yield laws.a_still_clip_has_still_ids(network, clip, groups)
    yield laws.every_code_survives(network)


def _random_plan(frames: int, draw: random.Random) -> list[int]:
    plan: list[int] = []
    while sum(plan) < frames:
        plan.append(draw.randint(0, min(7, frames - sum(plan))))
    return plan
