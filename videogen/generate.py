"""From prompts to pictures: the whole way, top to bottom. Begin reading here.

text -- conditioner --> context --> past
known pictures -- tokenizer.encode --> ids ------------> past
past -- propose x K, commit x 1 for each latent frame --> ids
ids -- tokenizer.decode --> pictures, while nothing of the next latent frame has been sampled yet
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from prior.text import Text
from torch import Tensor

from prior.memory import Past
from sampling.config import SamplerConfig
from sampling.guidance import for_streams
from sampling.rollout import Rollout, copied, remember, start, step
from tokenizer.streaming import State
from videogen.models import PriorModel
from videogen.nan_guard import Watched
from videogen.pixels import to_frames
from videogen.threads import on_free_cores

Clock = Callable[[], float]  # seconds; see `exact_clock`


class Seconds(NamedTuple):
    """What a latent frame has cost."""

    prior: float  # the sampler included
    decoder: float


class Made(NamedTuple):
    """A latent frame of each video, and the pictures that it brings."""

    pictures: Tensor  # uint8 [B, 1 or f_t, H, W, 3]: one for the first latent frame of a video
    ids_Bhw: Tensor
    steps_B: Tensor  # proposals that each video needed
    seconds: Seconds


@dataclass(frozen=True)
class Job:
    """What is to be made: so many videos at once, each with its own prompt and seed."""

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]  # what guidance leads away from; empty: from no text at all
    seeds: tuple[int, ...]
    sampler: SamplerConfig
    history_noise: float = 0.0  # how much of its own past the prior should expect to be wrong

    def __post_init__(self) -> None:
        if not len(self.prompts) == len(self.negative_prompts) == len(self.seeds):
            counts = f"{len(self.prompts)}, {len(self.negative_prompts)} and {len(self.seeds)}"
            raise ValueError(f"prompts, negative_prompts and seeds are {counts}; there must be one of each a video")
        if not 0 <= self.history_noise <= 1:
            raise ValueError(f"history_noise = {self.history_noise:g} must be 0 to 1")


class Going(NamedTuple):
    """A generation between two latent frames: all that its future depends on, beside model and job."""

    rollout: Rollout[Past]
    decoder: State | None
    visible_BThw: Tensor  # the latent frames that the next one can see


def generate(
    model: PriorModel, job: Job, known_BThw: Tensor | None = None, clock: Clock = time.perf_counter
) -> Iterator[Made]:
    """Videos without end, latent frame by latent frame; after `known_BThw`, or from nothing.

    Streaming is all there is: a video of a given length is the beginning of this.
    """
    going = begin(model, job, known_BThw)
    while True:
        going, made = go_on(model, job, going, clock)
        yield made


@torch.no_grad()
@on_free_cores
def begin(model: PriorModel, job: Job, known_BThw: Tensor | None = None) -> Going:
    """Before the first latent frame that is to be made, on the grid of what is known; known pictures are not made."""
    known_BThw = nothing_known(model, len(job.seeds)) if known_BThw is None else known_BThw
    _, decoder = model.tokenizer.network.decode(known_BThw)
    visible = visible_of(model, known_BThw)
    past = remembered(model, job, visible)
    rollout = start(model.network, past, job.seeds, grid_of(visible), device_of(model), known_BThw.shape[1])
    return Going(rollout, decoder, visible)


@torch.no_grad()
@on_free_cores
def go_on(model: PriorModel, job: Job, going: Going, clock: Clock = time.perf_counter) -> tuple[Going, Made]:
    """One latent frame further; `going` is used up. NumbersError if the prior no longer answers with numbers."""
    began, prior = clock(), Watched(model.network)
    rollout, decided = step(prior, going.rollout, job.sampler)
    prior.check(going.rollout.frame)
    decided_at, ids_B1hw = clock(), decided.ids_Bhw.unsqueeze(1)
    clip, decoder = model.tokenizer.network.decode(ids_B1hw, going.decoder)
    pictures, shown_at = to_frames(clip), clock()
    visible = visible_of(model, torch.cat([going.visible_BThw, ids_B1hw], 1))
    seconds = Seconds(decided_at - began, shown_at - decided_at)
    return Going(rollout, decoder, visible), Made(pictures, decided.ids_Bhw, decided.steps_B, seconds)


def under_new_prompts(model: PriorModel, job: Job, going: Going) -> Going:
    """The same pictures, told otherwise: what the prior remembers of its window is made again under the new text.

    What that asks for is decided in the next frames, as in the first ones of a video: they are a scene's opening.
    """
    past, rollout = remembered(model, job, going.visible_BThw), going.rollout
    return going._replace(rollout=rollout._replace(past=past, last_Bhw=None, scene=rollout.frame))


def cut_to_new_prompts(model: PriorModel, job: Job, going: Going) -> Going:
    """Another scene: it begins like a video of its own, but draws on from where the numbers of its seeds are."""
    fresh = begin(model, job, going.visible_BThw[:, :0])
    number = going.rollout.frame
    return fresh._replace(rollout=fresh.rollout._replace(frame=number, scene=number))


def kept(going: Going) -> Going:
    """The same, to be gone on from later: going on uses the past up."""
    return going._replace(rollout=copied(going.rollout))


def remembered(model: PriorModel, job: Job, visible_BThw: Tensor) -> Past:
    """The past of these latent frames under the prompts of a job."""
    prior, streams = model.network, len(job.seeds) * (2 if job.sampler.guided else 1)
    past = prior.begin(told(model, job), streams, grid_of(visible_BThw), job.history_noise)
    return remember(prior, past, for_streams(visible_BThw, job.sampler))


def visible_of(model: PriorModel, ids_BThw: Tensor) -> Tensor:
    """Of these latent frames, those that the next one can see: the first few that stay for ever, and the window."""
    sinks = model.config.sink_frames
    return torch.cat([ids_BThw[:, :sinks], ids_BThw[:, sinks:][:, -model.config.window :]], 1)


def told(model: PriorModel, job: Job) -> Text | None:
    """The prompts, and for guidance after them what it leads away from; both in words that the model knows."""
    if model.conditioner is None:
        return None
    captions = [read_prompt(model, prompt) for prompt in job.prompts]
    if job.sampler.guided:
        captions += [read_prompt(model, prompt, complete=False) for prompt in job.negative_prompts]
    return model.conditioner(captions).to(device_of(model))


def read_prompt(model: PriorModel, prompt: str, complete: bool = True) -> str:
    """What the text encoder gets of a prompt: the prompt itself, unless the model brings a vocabulary."""
    vocabulary = model.prompt_vocabulary
    return prompt if vocabulary is None else vocabulary.read(prompt, complete).text


def nothing_known(model: PriorModel, videos: int, grid: tuple[int, int] | None = None) -> Tensor:
    """No latent frames [B, 0, h, w]; by default of the size that the prior was taught on."""
    height, width = grid or model.spec.groups[0].shape
    return torch.zeros(videos, 0, height, width, dtype=torch.int64, device=device_of(model))


def grid_of(ids_BThw: Tensor) -> tuple[int, int]:
    return ids_BThw.shape[2], ids_BThw.shape[3]


def device_of(model: PriorModel) -> torch.device:
    return model.network.norm.weight.device


def exact_clock(model: PriorModel) -> Clock:
    """A clock that waits until the model's device is done.

    By one that does not, the decoder's time on a GPU shows up in the prior's next latent frame, which always waits.
    """
    device = device_of(model)

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock
