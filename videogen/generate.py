"""From prompts to frames, in the order in which it happens. Start reading here.

prefill   prompts -- text encoder --> text -----------> past
          given frames -- tokenizer.encode --> codes --> past
step      past -- propose x steps, commit x 1 --> codes of the next latent frame
          codes -- tokenizer.decode --> frames, before the next latent frame is sampled

A decoder with a condition is given the prompts too: they are part of its state.

`past` is the prior's KV cache. Shapes are named by suffix: B videos, T latent frames, N tokens of a latent frame, K
codes of a token.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.control import absent_frames
from interfaces.prior import FramePrior, Text
from interfaces.tokenizer import State
from interfaces.tokens import TokenSpec
from prior.memory import Past, Present
from sampling.config import SamplerConfig
from sampling.guidance import control_for_guidance, duplicate_for_guidance
from sampling.maskgit import SampledFrame
from sampling.rollout import Rollout, commit_codes, copy_rollout, sample_frame, start_rollout
from videogen.control_plan import ControlPlan, control_rows
from videogen.io.pixels import to_frames
from videogen.models import PriorModel
from videogen.models.nan_guard import GuardedPrior
from videogen.system.threads import on_free_cores

Clock = Callable[[], float]  # seconds; see `exact_clock`


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate: a batch of videos, each with its own prompt and seed."""

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]  # guidance moves away from these; empty: from no text
    seeds: tuple[int, ...]
    sampler: SamplerConfig
    history_noise: float = 0.0  # the share of wrong tokens that the prior expects in its past
    controls: tuple[ControlPlan, ...] = ()  # of each video, for a prior that takes controls; empty: none

    def __post_init__(self) -> None:
        if not len(self.prompts) == len(self.negative_prompts) == len(self.seeds):
            counts = f"{len(self.prompts)}, {len(self.negative_prompts)} and {len(self.seeds)}"
            raise ValueError(f"prompts, negative_prompts and seeds are {counts}; give one of each per video")
        if not 0 <= self.history_noise <= 1:
            raise ValueError(f"history_noise = {self.history_noise:g} must be 0 to 1")
        if len(self.controls or self.seeds) != len(self.seeds):
            raise ValueError(f"controls are {len(self.controls)} for {len(self.seeds)} videos; give one list per video")


class Context(NamedTuple):
    """The earlier latent frames that the next one attends to; none at the start of a video."""

    codes_BTNK: Tensor
    spec: TokenSpec
    control_BT: Tensor | None = None  # for a prior that takes controls


class DecoderState(NamedTuple):
    """The decoder of the frames so far."""

    state: State
    skip: int = 0  # frames of the context that a decoder that looks ahead has not given yet; they are no output


class GenerationState(NamedTuple):
    """The state between two latent frames; with the model and the request, it determines all later frames."""

    rollout: Rollout[Past]  # the sampler's state: the prior's KV cache and the last latent frame
    decoder: DecoderState
    context: Context  # what `switch_prompt` computes a new KV cache from


class LatentSeconds(NamedTuple):
    """The time that a latent frame took."""

    prior: float  # including the sampler
    decoder: float


class LatentOutput(NamedTuple):
    """One latent frame of each video, and the frames that it completes."""

    frames: Tensor  # uint8 [B, T, H, W, 3]
    codes_BNK: Tensor
    steps_B: Tensor  # the sampling steps that each video took
    seconds: LatentSeconds


def generate(
    model: PriorModel,
    request: GenerationRequest,
    context: Context | None = None,
    num_frames: int | None = None,
    clock: Clock = time.perf_counter,
) -> Iterator[LatentOutput]:
    """Yields latent frames after the context until there are at least `num_frames` frames; None: without end.

    A call collects the output of this loop; `videogen.stream` does the same steps, one for each frame that is needed.
    """
    state, number = prefill(model, request, context), 0
    spec, before = state.rollout.spec, state.rollout.frame
    last = None if num_frames is None else latent_frames_for(num_frames, spec, before)
    while number != last:
        state, output = step(model, request, state, control_at(model, request, number), clock)
        number += 1
        if number == last and (held := tail(model, state.decoder)) is not None:
            output = output._replace(frames=torch.cat([output.frames, held], 1))
        yield output


def latent_frames_for(num_frames: int, spec: TokenSpec, before: int) -> int:
    """The number of latent frames that hold so many frames after this many latent frames."""
    return spec.latent_frames(spec.video_frames(before) + num_frames) - before if num_frames > 0 else 0


@torch.no_grad()
@on_free_cores
def prefill(model: PriorModel, request: GenerationRequest, context: Context | None = None) -> GenerationState:
    """The state before the first new latent frame. The frames of the context are not part of the output."""
    context = whole_context(model, request, context)
    decoder = begin_decoder(model, request, context)
    rollout, visible = begin_rollout(model, request, context)
    return GenerationState(rollout, decoder, visible)


def whole_context(model: PriorModel, request: GenerationRequest, context: Context | None) -> Context:
    """An empty context if there is none, and one with controls for a prior that takes them."""
    return empty_context(model, len(request.seeds)) if context is None else with_control(model, context)


def begin_decoder(model: PriorModel, request: GenerationRequest, context: Context) -> DecoderState:
    """The decoder after the frames of the context."""
    codes_BTNK, spec, _ = context
    state = model.tokenizer.begin_decoding(captions_of(model, request))
    if not codes_BTNK.shape[1]:
        return DecoderState(state)
    shown, state = model.tokenizer.network.decode(codes_BTNK, spec, state)
    return DecoderState(state, spec.video_frames(codes_BTNK.shape[1]) - shown.shape[2])


def begin_rollout(model: PriorModel, request: GenerationRequest, context: Context) -> tuple[Rollout[Past], Context]:
    """The sampler's state after the context, and the part of the context that it attends to."""
    codes_BTNK, spec, _ = context
    visible = trim_context(model, context)
    past = prefill_past(model, request, visible)
    previous_BNK = codes_BTNK[:, -1] if codes_BTNK.shape[1] else None
    return start_rollout(model.network, past, request.seeds, spec, codes_BTNK.shape[1], previous_BNK), visible


def prefill_past(model: PriorModel, request: GenerationRequest, context: Context) -> Past:
    """The prior's KV cache of the prompts and of the context."""
    prior: FramePrior[Past, Present] = model.network
    sampler = request.sampler
    streams = len(request.seeds) * (2 if sampler.guided else 1)
    past = prior.begin(encode_prompts(model, request), streams, context.spec, request.history_noise)
    control = control_for_guidance(context.control_BT, sampler)
    return commit_codes(prior, past, duplicate_for_guidance(context.codes_BTNK, sampler), control)


def encode_prompts(model: PriorModel, request: GenerationRequest) -> Text | None:
    """The encoded prompts, with guidance followed by those of the second streams; None for a model without text."""
    if model.conditioner is None:
        return None
    captions = captions_of(model, request)
    if request.sampler.guided:
        negatives = [read_prompt(model, prompt, complete=False) for prompt in request.negative_prompts]
        captions += negatives if request.sampler.drops_text else captions
    return model.conditioner(captions).to(model.device)


def captions_of(model: PriorModel, request: GenerationRequest) -> list[str]:
    return [read_prompt(model, prompt) for prompt in request.prompts]


def read_prompt(model: PriorModel, prompt: str, complete: bool = True) -> str:
    """The caption that the text encoder gets: the prompt, rewritten where the model has a prompt vocabulary."""
    vocabulary = model.prompt_vocabulary
    return prompt if vocabulary is None else vocabulary.read(prompt, complete).text


@torch.no_grad()
@on_free_cores
def step(
    model: PriorModel,
    request: GenerationRequest,
    state: GenerationState,
    control: Tensor | None = None,
    clock: Clock = time.perf_counter,
) -> tuple[GenerationState, LatentOutput]:
    """Samples and decodes one latent frame, with its control [B, ...]; mutates the KV cache of `state` in place.

    NumbersError if the prior returns NaN or infinity.
    """
    began = clock()
    rollout, sampled = sample(model, request, state.rollout, control)
    sampled_at, codes_B1NK = clock(), sampled.codes_BNK.unsqueeze(1)
    frames, decoder = decode(model, codes_B1NK, rollout.spec, state.decoder)
    decoded_at = clock()
    context = trim_context(model, append_to_context(state.context, codes_B1NK, control))
    seconds = LatentSeconds(sampled_at - began, decoded_at - sampled_at)
    output = LatentOutput(frames, sampled.codes_BNK, sampled.steps_B, seconds)
    return GenerationState(rollout, decoder, context), output


def decode(
    model: PriorModel, codes_BTNK: Tensor, spec: TokenSpec, decoder: DecoderState
) -> tuple[Tensor, DecoderState]:
    """The frames uint8 [B, T, H, W, 3] that these latent frames complete."""
    clip, state = model.tokenizer.network.decode(codes_BTNK, spec, decoder.state)
    return to_frames(clip)[:, decoder.skip :], DecoderState(state, max(0, decoder.skip - clip.shape[2]))


@torch.no_grad()
@on_free_cores
def tail(model: PriorModel, decoder: DecoderState) -> Tensor | None:
    """The frames uint8 [B, T, H, W, 3] that a decoder that looks ahead holds back, if no latent frame follows."""
    clip = model.tokenizer.network.decode_tail(decoder.state)
    return None if clip is None else to_frames(clip)[:, decoder.skip :]


def sample(
    model: PriorModel, request: GenerationRequest, rollout: Rollout[Past], control: Tensor | None = None
) -> tuple[Rollout[Past], SampledFrame]:
    """The next latent frame; NumbersError if the prior returns NaN or infinity."""
    prior = GuardedPrior(model.network)
    following, sampled = sample_frame(prior, rollout, request.sampler, control=control)
    prior.check(rollout.frame)
    return following, sampled


def switch_prompt(model: PriorModel, request: GenerationRequest, state: GenerationState) -> GenerationState:
    """The same scene under new prompts: computes the KV cache of the context again with the new text.

    The next latent frames count as the first of a scene (`first_frames_step_multiplier`): they show what is new.
    """
    past, rollout = prefill_past(model, request, state.context), state.rollout
    decoder = model.tokenizer.with_captions(state.decoder.state, captions_of(model, request))
    rollout = rollout._replace(past=past, last=None, scene=rollout.frame)
    return state._replace(rollout=rollout, decoder=state.decoder._replace(state=decoder))


def new_scene(model: PriorModel, request: GenerationRequest, state: GenerationState) -> GenerationState:
    """A scene without context, as at the start of a video; the numbers of latent frames continue, and so the draws."""
    new = prefill(model, request, empty_context(model, len(request.seeds), state.context.spec))
    number = state.rollout.frame
    return new._replace(rollout=new.rollout._replace(frame=number, scene=number))


def clone_state(state: GenerationState) -> GenerationState:
    """A copy; `step` mutates the cache of the original in place."""
    return state._replace(rollout=copy_rollout(state.rollout))


def trim_context(model: PriorModel, context: Context) -> Context:
    """A copy of the latent frames that later ones attend to: the last `window`."""
    window = model.config.window
    control = None if context.control_BT is None else context.control_BT[:, -window:].clone()
    return Context(context.codes_BTNK[:, -window:].clone(), context.spec, control)


def append_to_context(context: Context, codes_B1NK: Tensor, control: Tensor | None) -> Context:
    """The context with one more latent frame."""
    control_BT = context.control_BT
    if control_BT is not None:
        control_B1 = absent_frames(control_BT, 1) if control is None else control.unsqueeze(1)
        control_BT = torch.cat([control_BT, control_B1.to(control_BT)], 1)
    return Context(torch.cat([context.codes_BTNK, codes_B1NK], 1), context.spec, control_BT)


def empty_context(model: PriorModel, videos: int, spec: TokenSpec | None = None) -> Context:
    """No latent frames; the default frame size is the one that the prior was trained on."""
    spec, device, config = model.spec if spec is None else spec, model.device, model.config.control
    control = None
    if config is not None:
        control = control_rows(((None,),) * videos, 0, config, device).unsqueeze(1)[:, :0]
    return Context(spec.empty(videos, device=device), spec, control)


def with_control(model: PriorModel, context: Context) -> Context:
    """The context with absent controls if it has none and the prior takes some: those of later frames are kept too."""
    codes_BTNK, spec, control_BT = context
    none_BT = empty_context(model, len(codes_BTNK), spec).control_BT
    if control_BT is not None or none_BT is None:
        return context
    return Context(codes_BTNK, spec, absent_frames(none_BT, codes_BTNK.shape[1]))


def control_at(model: PriorModel, request: GenerationRequest, number: int) -> Tensor | None:
    """The control of new latent frame `number` of each video."""
    config = model.config.control
    return control_rows(request.controls, number, config, model.device) if request.controls and config else None


def exact_clock(model: PriorModel) -> Clock:
    """A clock that synchronizes the GPU: without it, decoder time is billed to the prior."""
    device = model.device

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock
