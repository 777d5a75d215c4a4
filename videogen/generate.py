"""From prompts to pictures: the whole way, top to bottom. Begin reading here.

text -- conditioner --> context --> past
known pictures -- tokenizer.encode --> ids ------------> past
past -- propose x K, commit x 1 for each latent frame --> ids
ids -- tokenizer.decode --> pictures, while nothing of the next latent frame has been sampled yet
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from prior.memory import Past
from prior.text import Text
from sampling.config import SamplerConfig
from sampling.guidance import for_streams
from sampling.rollout import Rollout, copied, remember, start, step
from tokenizer.streaming import State
from videogen.models import PriorModel
from videogen.pixels import to_frames


class Made(NamedTuple):
    """A latent frame of each video, and the pictures that it brings."""

    pictures: Tensor  # uint8 [B, 1 or f_t, H, W, 3]: one for the first latent frame of a video
    ids_Bhw: Tensor
    steps_B: Tensor  # proposals that each video needed


@dataclass(frozen=True)
class Job:
    """What is to be made: so many videos at once, each with its own prompt and seed."""

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]  # what guidance leads away from; empty: from no text at all
    seeds: tuple[int, ...]
    sampler: SamplerConfig
    rate: float = 0.0  # how much of its own past the prior should expect to be wrong

    def __post_init__(self) -> None:
        if not len(self.prompts) == len(self.negative_prompts) == len(self.seeds):
            counts = f"{len(self.prompts)}, {len(self.negative_prompts)} and {len(self.seeds)}"
            raise ValueError(f"prompts, negative_prompts and seeds are {counts}; there must be one of each a video")


class Going(NamedTuple):
    """A generation between two latent frames: all that its future depends on, beside model and job."""

    rollout: Rollout[Past]
    decoder: State | None
    recent_BThw: Tensor  # the last latent frames, as many as the prior looks back


def generate(model: PriorModel, job: Job, known_BThw: Tensor | None = None) -> Iterator[Made]:
    """Videos without end, latent frame by latent frame; after `known_BThw`, or from nothing.

    Streaming is all there is: a video of a given length is the beginning of this.
    """
    going = begin(model, job, known_BThw)
    while True:
        going, made = go_on(model, job, going)
        yield made


@torch.no_grad()
def begin(model: PriorModel, job: Job, known_BThw: Tensor | None = None, grid: tuple[int, int] | None = None) -> Going:
    """Before the first latent frame that is to be made; the pictures of what is known are not made again."""
    prior, decoder = model.network, None
    grid = grid or (model.taught_on.height, model.taught_on.width)
    if known_BThw is None:
        known_BThw = torch.zeros(len(job.seeds), 0, *grid, dtype=torch.int64, device=device_of(model))
    else:
        decoder = model.tokenizer.network.decode(known_BThw)[1]
    recent = known_BThw[:, -prior.window :]
    past = remembered(model, job, recent)
    rollout = start(prior, past, job.seeds, grid_of(recent), device_of(model), known_BThw.shape[1])
    return Going(rollout, decoder, recent)


@torch.no_grad()
def go_on(model: PriorModel, job: Job, going: Going) -> tuple[Going, Made]:
    """One latent frame further."""
    rollout, decided = step(model.network, going.rollout, job.sampler)
    ids_B1hw = decided.ids_Bhw.unsqueeze(1)
    clip, decoder = model.tokenizer.network.decode(ids_B1hw, going.decoder)
    recent = torch.cat([going.recent_BThw, ids_B1hw], 1)[:, -model.network.window :]
    return Going(rollout, decoder, recent), Made(to_frames(clip), decided.ids_Bhw, decided.steps_B)


def under_new_prompts(model: PriorModel, job: Job, going: Going) -> Going:
    """The same scene, told otherwise: what the prior remembers of its window is made again under the new text."""
    seeds, frame = going.rollout.seeds, going.rollout.frame
    past = remembered(model, job, going.recent_BThw)
    rollout = start(model.network, past, seeds, grid_of(going.recent_BThw), device_of(model), frame)
    return going._replace(rollout=rollout)


def cut_to_new_prompts(model: PriorModel, job: Job, going: Going) -> Going:
    """Another scene: it begins like a video of its own, but draws on from where the numbers of its seeds are."""
    fresh = begin(model, job, grid=grid_of(going.recent_BThw))
    return fresh._replace(rollout=fresh.rollout._replace(frame=going.rollout.frame))


def kept(going: Going) -> Going:
    """The same, to be gone on from later: going on uses the past up."""
    return going._replace(rollout=copied(going.rollout))


def remembered(model: PriorModel, job: Job, recent_BThw: Tensor) -> Past:
    """The past of these latent frames under the prompts of a job."""
    prior, streams = model.network, len(job.seeds) * (2 if job.sampler.guided else 1)
    past = prior.begin(told(model, job), streams, grid_of(recent_BThw), job.rate)
    return remember(prior, past, for_streams(recent_BThw, job.sampler))


def told(model: PriorModel, job: Job) -> Text | None:
    """The prompts, and for guidance after them what it leads away from."""
    if model.conditioner is None:
        return None
    captions: Sequence[str] = job.prompts + (job.negative_prompts if job.sampler.guided else ())
    return model.conditioner(captions).to(device_of(model))


def grid_of(ids_BThw: Tensor) -> tuple[int, int]:
    return ids_BThw.shape[2], ids_BThw.shape[3]


def device_of(model: PriorModel) -> torch.device:
    return model.network.norm.weight.device
