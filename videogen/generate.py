"""From prompts to frames: the whole way, top to bottom. Begin reading here.

text -- conditioner --> context --> past
given frames -- tokenizer.encode --> codes -----------> past
past -- propose x K, commit x 1 for each latent frame --> codes
codes -- tokenizer.decode --> frames, before the next latent frame is sampled
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import FramePrior, Text
from interfaces.tokenizer import State
from interfaces.tokens import TokenSpec
from prior.memory import Past, Present
from sampling.config import SamplerConfig
from sampling.guidance import duplicate_for_guidance
from sampling.rollout import Rollout, copied, remember, start
from sampling.rollout import step as sample_frame
from videogen.io.pixels import to_frames
from videogen.models import PriorModel
from videogen.models.nan_guard import GuardedPrior
from videogen.system.threads import on_free_cores

Clock = Callable[[], float]  # seconds; see `exact_clock`


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate: a batch of videos, each with its own prompt and seed."""

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]  # what guidance leads away from; empty: from no text at all
    seeds: tuple[int, ...]
    sampler: SamplerConfig
    history_noise: float = 0.0  # the share of wrong tokens that the prior should expect in its own past

    def __post_init__(self) -> None:
        if not len(self.prompts) == len(self.negative_prompts) == len(self.seeds):
            counts = f"{len(self.prompts)}, {len(self.negative_prompts)} and {len(self.seeds)}"
            raise ValueError(f"prompts, negative_prompts and seeds are {counts}; there must be one of each a video")
        if not 0 <= self.history_noise <= 1:
            raise ValueError(f"history_noise = {self.history_noise:g} must be 0 to 1")


class Context(NamedTuple):
    """Latent frames that the next one can see; before the first there are none."""

    codes_BTNK: Tensor
    spec: TokenSpec
    control_BT: Tensor | None = None  # of a prior that takes one


class GenerationState(NamedTuple):
    """A generation between two latent frames: all that its future depends on, beside model and request."""

    rollout: Rollout[Past]
    decoder: State
    context: Context


class Seconds(NamedTuple):
    """What a latent frame has cost."""

    prior: float  # the sampler included
    decoder: float


class LatentOutput(NamedTuple):
    """A latent frame of each video, and the frames that it brings."""

    frames: Tensor  # uint8 [B, T, H, W, 3]: as many as the latent frame holds
    codes_BNK: Tensor
    steps_B: Tensor  # proposals that each video needed
    seconds: Seconds


def generate(
    model: PriorModel,
    request: GenerationRequest,
    context: Context | None = None,
    num_frames: int | None = None,
    clock: Clock = time.perf_counter,
) -> Iterator[LatentOutput]:
    """Latent frames that follow a context, or nothing: until there are `num_frames` frames or more, or without end.

    Streaming is all there is: a video of a given length is the beginning of this.
    """
    state, count = prefill(model, request, context), 0
    while num_frames is None or count < num_frames:
        state, output = step(model, request, state, clock=clock)
        count += output.frames.shape[1]
        yield output


@torch.no_grad()
@on_free_cores
def prefill(model: PriorModel, request: GenerationRequest, context: Context | None = None) -> GenerationState:
    """The state before the first new latent frame; the frames of the context are not output."""
    context = empty_context(model, len(request.seeds)) if context is None else context
    codes_BTNK, spec, _ = context
    decoder = model.tokenizer.network.decode(codes_BTNK, spec)[1] if codes_BTNK.shape[1] else None
    visible = trim_context(model, context)
    past = prefill_past(model, request, visible)
    rollout = start(model.network, past, request.seeds, spec, first_frame=codes_BTNK.shape[1])
    return GenerationState(rollout, decoder, visible)


@torch.no_grad()
@on_free_cores
def step(
    model: PriorModel,
    request: GenerationRequest,
    state: GenerationState,
    control: Tensor | None = None,
    clock: Clock = time.perf_counter,
) -> tuple[GenerationState, LatentOutput]:
    """One latent frame further, under the control [B, ...] of this frame; mutates the cache of `state` in place.

    NumbersError if the prior answers with NaN or infinity.
    """
    began, prior = clock(), GuardedPrior(model.network)
    rollout, sampled = sample_frame(prior, state.rollout, request.sampler, control=control)
    prior.check(state.rollout.frame)
    sampled_at, codes_B1NK = clock(), sampled.codes_BNK.unsqueeze(1)
    clip, decoder = model.tokenizer.network.decode(codes_B1NK, rollout.spec, state.decoder)
    frames, shown_at = to_frames(clip), clock()
    context = trim_context(model, extended(state.context, codes_B1NK, control))
    seconds = Seconds(sampled_at - began, shown_at - sampled_at)
    output = LatentOutput(frames, sampled.codes_BNK, sampled.steps_B, seconds)
    return GenerationState(rollout, decoder, context), output


def switch_prompt(model: PriorModel, request: GenerationRequest, state: GenerationState) -> GenerationState:
    """The same frames under new prompts: the cache of the prior's window is computed again with the new text.

    The next latent frames are sampled with as many steps as the first ones of a scene: they bring what is new.
    """
    past, rollout = prefill_past(model, request, state.context), state.rollout
    return state._replace(rollout=rollout._replace(past=past, last=None, scene=rollout.frame))


def new_scene(model: PriorModel, request: GenerationRequest, state: GenerationState) -> GenerationState:
    """A scene without a context, as at the beginning of a video; the random numbers of its seeds go on."""
    empty = empty_context(model, len(request.seeds), state.context.spec)
    fresh, number = prefill(model, request, empty), state.rollout.frame
    return fresh._replace(rollout=fresh.rollout._replace(frame=number, scene=number))


def clone_state(state: GenerationState) -> GenerationState:
    """A copy; `step` mutates the cache of the original in place."""
    return state._replace(rollout=copied(state.rollout))


def prefill_past(model: PriorModel, request: GenerationRequest, context: Context) -> Past:
    """The cache of the context's latent frames under the prompts of a request."""
    prior: FramePrior[Past, Present] = model.network
    sampler = request.sampler
    streams = len(request.seeds) * (2 if sampler.guided else 1)
    past = prior.begin(encode_prompts(model, request), streams, context.spec, request.history_noise)
    control = None if context.control_BT is None else duplicate_for_guidance(context.control_BT, sampler)
    return remember(prior, past, duplicate_for_guidance(context.codes_BTNK, sampler), control)


def trim_context(model: PriorModel, context: Context) -> Context:
    """The latent frames that the next one sees: the sink frames, which stay for ever, and the window."""
    sinks, window = model.config.sink_frames, model.config.window

    def trimmed(values_BT: Tensor) -> Tensor:
        return torch.cat([values_BT[:, :sinks], values_BT[:, sinks:][:, -window:]], 1)

    control = None if context.control_BT is None else trimmed(context.control_BT)
    return Context(trimmed(context.codes_BTNK), context.spec, control)


def extended(context: Context, codes_B1NK: Tensor, control: Tensor | None) -> Context:
    """The context with one latent frame more."""
    control_BT = context.control_BT
    if control_BT is not None:
        fresh = absent_control(control_BT[:, :0], 1) if control is None else control.unsqueeze(1)
        control_BT = torch.cat([control_BT, fresh.to(control_BT)], 1)
    return Context(torch.cat([context.codes_BTNK, codes_B1NK], 1), context.spec, control_BT)


def empty_context(model: PriorModel, videos: int, spec: TokenSpec | None = None) -> Context:
    """No latent frames; by default of the frame size that the prior was trained on."""
    spec, device, config = model.spec if spec is None else spec, model.device, model.config.control
    control = None
    if config is not None:
        rest = () if config.floats is None else (config.floats,)
        control = torch.zeros(videos, 0, *rest, dtype=torch.float32 if rest else torch.int64, device=device)
    return Context(spec.empty(videos, device=device), spec, control)


def absent_control(like_BT: Tensor, latent_frames: int) -> Tensor:
    """The control of latent frames that have none: -1, or NaN."""
    shape = (len(like_BT), latent_frames, *like_BT.shape[2:])
    return like_BT.new_full(shape, math.nan if like_BT.is_floating_point() else -1)


def encode_prompts(model: PriorModel, request: GenerationRequest) -> Text | None:
    """The prompts and, for guidance, after them the negative prompts; both in words that the model knows."""
    if model.conditioner is None:
        return None
    captions = [read_prompt(model, prompt) for prompt in request.prompts]
    if request.sampler.guided:
        captions += [read_prompt(model, prompt, complete=False) for prompt in request.negative_prompts]
    return model.conditioner(captions).to(model.device)


def read_prompt(model: PriorModel, prompt: str, complete: bool = True) -> str:
    """The text that the text encoder gets: the prompt itself, unless the model has a vocabulary of its own."""
    vocabulary = model.prompt_vocabulary
    return prompt if vocabulary is None else vocabulary.read(prompt, complete).text


def exact_clock(model: PriorModel) -> Clock:
    """A clock that waits for the model's device: without synchronizing, GPU decoder time is billed to the prior."""
    device = model.device

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock
