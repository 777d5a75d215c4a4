"""`videogen selftest` for a prior and for generation with it: exact streaming, resuming and batching."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from interfaces.tokenizer import decode_clip
from interfaces.tokens import TokenSpec
from interfaces.verdict import Verdict
from prior import caption_laws, laws
from prior.model import as_llama
from tokenizer.precision import without_tf32
from videogen.control_plan import control_plan
from videogen.evaluation.tokenizer.selftest import small_size
from videogen.generate import GenerationRequest, captions_of, generate
from videogen.generation.conditioning_frames import ConditioningFrames, unconditioned
from videogen.io.pixels import to_frames
from videogen.models import PriorModel, sampler_of
from videogen.stream import VideoStream

TOLERANCE = 1e-4  # relative to the largest value, where results may differ by float rounding
MULTIPLES = (3, 4)  # of the smallest frame size: small, and not square
LATENT_FRAMES = 6
PROMPTS = ("a small red ring drifts left", "a big yellow star spins", "")


def check_prior_laws(model: PriorModel, seed: int) -> list[Verdict]:
    """One verdict for each law, in full float32 on a GPU too."""
    with without_tf32():
        return [*_check_prior(model, seed), *_check_generation(model, seed)]


def _check_prior(model: PriorModel, seed: int) -> Iterator[Verdict]:
    prior, frames = model.network, model.config.window + 2
    generator = torch.Generator(prior.device).manual_seed(seed)
    batch = laws.random_batch(model.config, 2, frames, small_spec(model), generator, noise=0.25)
    yield laws.streaming_is_the_training_path(prior, batch, TOLERANCE)
    yield laws.proposing_twice_is_proposing_once(prior, batch)
    yield laws.a_copied_past_resumes(prior, batch)
    yield laws.advancing_is_committing_and_proposing(prior, batch, TOLERANCE)
    yield laws.shifting_a_stream_changes_nothing(prior, batch, TOLERANCE)
    yield laws.a_past_does_not_grow(prior, batch, rounds=3)
    if model.writes_captions:
        llama = as_llama(prior)
        captioned = caption_laws.random_caption_batch(model.config, 2, frames, small_spec(model), generator)
        yield caption_laws.captions_are_the_training_path(llama, captioned, TOLERANCE)
        yield caption_laws.captions_leave_the_past_unchanged(llama, captioned)
        yield caption_laws.captions_do_not_depend_on_the_time(llama, captioned, TOLERANCE)


def _check_generation(model: PriorModel, seed: int) -> Iterator[Verdict]:
    sampler = replace(sampler_of(model), guidance_scale=2.0)
    seeds = tuple(range(seed, seed + len(PROMPTS)))
    request = GenerationRequest(PROMPTS, ("",) * len(PROMPTS), seeds, sampler)
    if (control := model.config.control) is not None:
        ones = [control_plan(0 if control.floats is None else (1.0,) * control.floats, control), (None,)]
        plans = tuple((*ones[row % 2], *ones[1 - row % 2]) for row in range(len(seeds)))
        request = replace(request, controls=plans, sampler=replace(sampler, guidance_drops="both"))
    yield a_stream_is_the_offline_result(model, single_request(request, 0))
    yield a_restored_stream_is_unbroken(model, single_request(request, 0))
    yield a_video_of_a_batch_is_the_video_alone(model, request)


@torch.no_grad()
def a_stream_is_the_offline_result(model: PriorModel, request: GenerationRequest) -> Verdict:
    """Streamed frames equal those of all codes decoded at once, byte for byte."""
    start = small_start(model, 1)
    outputs = islice(generate(model, request, start.context), LATENT_FRAMES)
    codes_BTNK = torch.stack([output.codes_BNK for output in outputs], 1)
    state = model.tokenizer.begin_decoding(captions_of(model, request))
    clip = decode_clip(model.tokenizer.network, codes_BTNK, start.context.spec, state)
    offline = to_frames(clip)[0].cpu().numpy()
    stream = VideoStream.begin(model, request, start, len(offline), "recache")
    differing = int((np.stack(list(stream)) != offline).sum())
    return Verdict("a stream is the offline result", differing == 0, f"{differing} of {offline.size} bytes differ")


def a_restored_stream_is_unbroken(model: PriorModel, request: GenerationRequest) -> Verdict:
    """A restored stream continues identically, also across a pending change of prompt."""
    start = small_start(model, 1)
    stream = VideoStream.begin(model, request, start, None, "recache")
    frames = start.context.spec.video_frames(LATENT_FRAMES)
    list(islice(stream, frames // 2))
    stream.prompt = PROMPTS[1]
    state = stream.state()
    future = np.stack(list(islice(stream, frames)))
    again = [np.stack(list(islice(VideoStream.restore(model, state), frames))) for _ in range(2)]
    held = all(np.array_equal(one, future) for one in again)
    return Verdict("a restored stream is unbroken", held, f"{frames} frames, across a change of prompt")


def a_video_of_a_batch_is_the_video_alone(model: PriorModel, request: GenerationRequest) -> Verdict:
    """Compares codes, with guidance, in float64 so that rounding moves no draw across a border."""
    exact = replace(model, network=copy.deepcopy(model.network).double())
    together, wrong = codes_of(exact, request), 0
    for row in range(len(request.seeds)):
        wrong += int((codes_of(exact, single_request(request, row))[0] != together[row]).any(-1).sum())
    count = together[..., 0].numel()
    return Verdict("a video of a batch is the video alone", wrong == 0, f"{wrong} of {count} tokens differ")


def codes_of(model: PriorModel, request: GenerationRequest) -> Tensor:
    """[B, T, N, K]"""
    outputs = islice(generate(model, request, small_start(model, len(request.seeds)).context), LATENT_FRAMES)
    return torch.stack([output.codes_BNK for output in outputs], 1)


def single_request(request: GenerationRequest, row: int) -> GenerationRequest:
    one = slice(row, row + 1)
    prompts, negatives, seeds = request.prompts[one], request.negative_prompts[one], request.seeds[one]
    return replace(request, prompts=prompts, negative_prompts=negatives, seeds=seeds, controls=request.controls[one])


def small_spec(model: PriorModel) -> TokenSpec:
    return model.tokenizer.spec_of(*size_for_prior(model))


def small_start(model: PriorModel, videos: int) -> ConditioningFrames:
    return unconditioned(model, videos, size_for_prior(model))


def size_for_prior(model: PriorModel) -> tuple[int, int]:
    """A frame size that takes seconds; that of training for a prior that cannot take the small one."""
    size = small_size(model.tokenizer, MULTIPLES)
    try:
        model.network.check_begin(model.tokenizer.spec_of(*size))
    except ValueError:
        return model.clips.height, model.clips.width
    return size
