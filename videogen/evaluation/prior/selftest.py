"""The laws of a prior, and of the whole way from a prompt to pictures, checked on somebody's own weights."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from prior import laws
from prior.laws import Verdict
from tokenizer.precision import whole_float32
from videogen.conditioning_frames import nothing
from videogen.generate import Job, begin, device_of, generate, go_on, nothing_known
from videogen.models import PriorModel, sampler_of
from videogen.pixels import to_frames
from videogen.stream import VideoStream

TOLERANCE = 1e-4  # relative to the largest value, for what is equal to float rounding only, on any device
GRID = (3, 4)  # of latent frames: small enough to take seconds, and no square
LATENT_FRAMES = 6
PROMPTS = ("a small red ring drifts left", "a big yellow star spins", "")


def check_prior_laws(model: PriorModel, seed: int) -> list[Verdict]:
    """A verdict a law, in whole float32 on a GPU too."""
    with whole_float32():
        return [*_check_prior(model, seed), *_check_generation(model, seed)]


def _check_prior(model: PriorModel, seed: int) -> Iterator[Verdict]:
    prior, device = model.network, device_of(model)
    frames = model.config.sink_frames + model.config.window + 2
    generator = torch.Generator(device).manual_seed(seed)
    lesson = laws.made_up_lesson(model.config, 2, frames, GRID, generator, rate=0.25)
    yield laws.streaming_is_the_training_path(prior, lesson, TOLERANCE)
    yield laws.proposing_twice_is_proposing_once(prior, lesson)
    yield laws.a_copied_past_resumes(prior, lesson)
    yield laws.advancing_is_committing_and_proposing(prior, lesson, TOLERANCE)
    if model.config.positions == "frame":
        yield laws.shifting_a_stream_changes_nothing(prior, lesson, TOLERANCE)
    yield laws.a_past_does_not_grow(prior, lesson, rounds=3)


def _check_generation(model: PriorModel, seed: int) -> Iterator[Verdict]:
    sampler = replace(sampler_of(model), guidance_scale=2.0)
    job = Job(PROMPTS, ("",) * len(PROMPTS), tuple(range(seed, seed + len(PROMPTS))), sampler)
    yield a_stream_is_the_offline_result(model, single_request(job, 0))
    yield a_restored_stream_is_unbroken(model, single_request(job, 0))
    yield a_video_of_a_batch_is_the_video_alone(model, job)


@torch.no_grad()
def a_stream_is_the_offline_result(model: PriorModel, job: Job) -> Verdict:
    """Pictures one by one are those of all ids decoded at once, byte by byte."""
    known = nothing(model, 1, GRID)
    made = islice(generate(model, job, known.ids_BThw), LATENT_FRAMES)
    ids_BThw = torch.stack([one.ids_Bhw for one in made], 1)
    offline = to_frames(model.tokenizer.network.decode(ids_BThw)[0])[0].cpu().numpy()
    stream = VideoStream.begin(model, job, known, len(offline), "recache")
    differing = int((np.stack(list(stream)) != offline).sum())
    return Verdict("a stream is the offline result", differing == 0, f"{differing} of {offline.size} bytes differ")


def a_restored_stream_is_unbroken(model: PriorModel, job: Job) -> Verdict:
    """A saved stream has the same future twice, also with a change of prompt to come."""
    stream = VideoStream.begin(model, job, nothing(model, 1, GRID), None, "recache")
    pictures = model.tokenizer.config.video_frames(LATENT_FRAMES)
    list(islice(stream, pictures // 2))
    stream.prompt = PROMPTS[1]
    state = stream.state()
    future = np.stack(list(islice(stream, pictures)))
    again = [np.stack(list(islice(VideoStream.restore(model, state), pictures))) for _ in range(2)]
    held = all(np.array_equal(one, future) for one in again)
    return Verdict("a restored stream is unbroken", held, f"{pictures} pictures, across a change of prompt")


def a_video_of_a_batch_is_the_video_alone(model: PriorModel, job: Job) -> Verdict:
    """In ids, with guidance. In float64: nothing then lies within rounding of a draw's border."""
    exact = replace(model, network=copy.deepcopy(model.network).double())
    together, wrong = generate_ids(exact, job), 0
    for row in range(len(job.seeds)):
        wrong += int((generate_ids(exact, single_request(job, row))[0] != together[row]).sum())
    return Verdict("a video of a batch is the video alone", wrong == 0, f"{wrong} of {together.numel()} ids differ")


def generate_ids(model: PriorModel, job: Job) -> Tensor:
    """int64 [B, T, h, w]"""
    going, ids = begin(model, job, nothing_known(model, len(job.seeds), GRID)), []
    for _ in range(LATENT_FRAMES):
        going, made = go_on(model, job, going)
        ids.append(made.ids_Bhw)
    return torch.stack(ids, 1)


def single_request(job: Job, row: int) -> Job:
    one = slice(row, row + 1)
    return replace(job, prompts=job.prompts[one], negative_prompts=job.negative_prompts[one], seeds=job.seeds[one])
