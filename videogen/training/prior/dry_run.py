"""A dry run of stage two: clips, memory and hours.

If there is no tokenizer yet, shapes come from its configuration. Of a text encoder only the configuration is read, if
it is on this machine.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.attention import raster_mask
from prior.config import ContextConfig, ControlConfig
from prior.kinds import AnyPriorConfig, make_prior
from prior.model import PriorBatch
from prior.network import PriorNetwork
from tokenizer.networks.kinds import make_tokenizer
from videogen.clip_spec import ClipSpec
from videogen.conditioning.config import BPEConfig, EncoderConfig, TextConfig
from videogen.config import resolve
from videogen.data import load_index
from videogen.data.split import hold_out
from videogen.errors import UsageError
from videogen.models import BUNDLED
from videogen.storage import Location
from videogen.tokens import EncodeSpec, TokenSet
from videogen.tokens.description import NAME
from videogen.tokens.plan import plan
from videogen.training.estimate.machine import Machine
from videogen.training.estimate.memory_estimate import StepCost, fake_tensors, measure_cost, state_bytes, under_autocast
from videogen.training.estimate.report import (
    MemoryNeed,
    PhaseWork,
    estimate_hours,
    format_table,
    memory_report,
    micro_batch_size,
)
from videogen.training.loop.stage import Json, TrainedModule
from videogen.training.prior.batches import TokenBatches
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig
from videogen.training.prior.init_weights import init_weights
from videogen.training.prior.run import check_validation, tokenizer_for, vocabulary_of
from videogen.training.prior.stage import describe_network, make_network
from videogen.training.tokenizer.config import TokenizerTrainingConfig

DEFAULT_FEATURES = 1024  # of a text encoder that is not on this machine: as many as large ones have


@dataclass(frozen=True)
class TokenizerSource:
    """What a dry run needs of a tokenizer; `fingerprint` is None if it is not trained yet."""

    spec: TokenSpec
    clips: ClipSpec
    path: Path
    fingerprint: str | None
    control: ControlConfig | None = None  # of clips that are encoded


def find_tokenizer(given: str | None, config: PriorTrainingConfig) -> TokenizerSource:
    """From a model, a run, or the configuration of a tokenizer (a file or a preset)."""
    name = given or config.tokenizer_preset
    if name is None:
        raise UsageError("--tokenizer is missing: a model, a run, or for a dry run a configuration such as video_128")
    if Path(name).is_dir() or name == BUNDLED.name:
        model = tokenizer_for(config.data.train, name)
        return TokenizerSource(model.spec, model.clips, model.path, model.fingerprint)
    return untrained_source(resolve(name, expected="tokenizer")[1].value, Path(name))


def untrained_source(config: TokenizerTrainingConfig, path: Path) -> TokenizerSource:
    """From the configuration of a tokenizer, which was read from `path`."""
    last = config.phases[-1]
    clips = ClipSpec(last.height, last.width, config.data.fps, last.frames)
    with fake_tensors():
        plain = replace(config.tokenizer, condition=None)  # the decoder is given nothing here
        spec = make_tokenizer(plain).spec(last.height, last.width)
    return TokenizerSource(spec, clips, path, None)


def dry_run(
    config: PriorTrainingConfig, tokenizer: str | None, machine: Machine, processes: int = 1
) -> tuple[Json, str]:
    """What a run would train, on what, in how much memory and time: as data and as text."""
    source, training = find_tokenizer(tokenizer, config), config.training
    micro = micro_batch_size(training, processes)
    clips, source = clip_counts(config, source)
    context, text = find_context(config.text)
    if config.init_from is not None and isinstance(config.text, BPEConfig):  # perhaps of fewer tokens than asked for
        context = ContextConfig(config.text.length, vocabulary_of(config.init_from, config.text).vocabulary)
    phases = [phase for phase in config.phases if phase.from_step < training.steps]
    with fake_tensors():
        network = make_network(config, source, context)
    costs = [phase_cost(network.config, config, each, config.recompute) for each in phases]
    largest = max(costs, key=lambda cost: cost.bytes)
    phase = phases[costs.index(largest)]
    recomputed = phase_cost(network.config, config, phase, recompute=True).bytes
    if (weights := init_weights(network, config)) is not None:
        weights()  # raises if they do not fit
    fixed = state_bytes(TrainedModule(network, config.optimizer))
    need = MemoryNeed(
        fixed, largest.bytes, None if config.recompute else recomputed, sharded=config.optimizer.algorithm == "adamw"
    )
    facts: Json = {
        **describe_network(network, source.clips.fps, config.kernel),
        **text,
        "tokenizer": str(source.path) if source.fingerprint else f"{source.path}, from its configuration alone",
        **clips,
        "steps": training.steps,
        "micro-batches": [[micro, each.frames, source.spec.tokens] for each in config.phases],
        **memory_report(need, training, processes, machine),
        **estimate_hours(
            phase_work(config, phases, costs), training, processes, machine,
            lambda count: make_trial(network.config, config, phase, count), largest, need,
        ),
    }  # fmt: skip
    return facts, format_table(facts)


def clip_counts(config: PriorTrainingConfig, source: TokenizerSource) -> tuple[Json, TokenizerSource]:
    """How many clips a run would have, and the source with the tokens that are there already."""
    data = config.data
    if not data.train.exists():
        return {"clips": f"not known: {data.train} is not there"}, source
    check_validation(config, source.fingerprint)
    sets = [None if each is None else TokenSet.open(each, source.fingerprint) if is_encoded(each) else None
            for each in (data.train, data.validation)]  # fmt: skip
    train, validation = sets
    windows = config.training.steps * config.training.batch_size
    if train is not None and (validation is not None or data.validation is None):
        token_batches, known = TokenBatches(config, train, validation), train.description
        counts = token_batches.report().as_dict()
        shown = replace(source.clips, height=known.clips.height, width=known.clips.width, fps=known.clips.fps)
        source = replace(source, spec=known.spec, clips=shown, control=known.control)
    else:
        counts = clips_to_encode(config, source)
    return {**counts, "epochs": windows / counts["clips"] if counts["clips"] else None}, source


def clips_to_encode(config: PriorTrainingConfig, source: TokenizerSource) -> Json:
    """Counts of a set that is not encoded yet, from the lengths in its index."""
    data, clips = config.data, source.clips
    cut = EncodeSpec(clips.height, clips.width, clips.fps)
    least = source.spec.video_frames(config.phases[-1].frames)

    def count(data: Location) -> tuple[int, int]:
        if is_encoded(data):
            return len(TokenSet.open(data)), 0
        return long_enough(load_index(data))

    def long_enough(index: object) -> tuple[int, int]:
        planned, _ = plan(index, cut)  # type: ignore[arg-type]
        long = sum(each.frames >= least for each in planned)
        return long, len(planned) - long

    if data.validation is None:
        parts = [long_enough(part) for part in hold_out(load_index(data.train), data.validation_share)]
    else:
        parts = [count(data.train), count(data.validation)]
    (train, short), (held_out, short_too) = parts
    return {
        "clips": train,
        "clips to validate with": min(held_out, data.validation_clips),
        "clips too short": short + short_too,
    }


def is_encoded(data: Location) -> bool:
    return bool((data / NAME).is_file())


def find_context(text: TextConfig | None) -> tuple[ContextConfig | None, Json]:
    """The text configuration of a prior, and what was assumed about it."""
    if text is None:
        return None, {}
    if isinstance(text, BPEConfig):
        return ContextConfig(text.length, text.vocabulary), {}
    features = find_features(text)
    assumed = {} if features else {"text encoder": f"{text.model} is not here: {DEFAULT_FEATURES} features are assumed"}
    return ContextConfig(text.length, features=features or DEFAULT_FEATURES), assumed


def find_features(text: EncoderConfig) -> int | None:
    """The number of features of an encoder in a folder or in the download cache; downloads nothing."""
    from huggingface_hub import try_to_load_from_cache

    name = "/".join(part for part in (text.subfolder, "config.json") if part)
    place = Path(text.model).expanduser() / name
    if not place.is_file():
        try:
            cached = try_to_load_from_cache(text.model, name, revision=text.revision)
        except ValueError:  # not a name on the hub
            return None
        if not isinstance(cached, str):
            return None
        place = Path(cached)
    known = json.loads(place.read_bytes())
    size = known.get("hidden_size") or known.get("d_model") or known.get("text_config", {}).get("hidden_size")
    return size if isinstance(size, int) else None


def zero_batch(network: PriorNetwork, frames: int, clips: int) -> PriorBatch:
    """A batch of zeros."""
    codes = network.spec.empty(clips, frames)
    known = torch.zeros(codes.shape[:3], dtype=torch.bool) if network.config.objective == "masked" else None
    text = None if network.context is None else network.no_text(clips)
    caption = text if network.config.captions else None
    return PriorBatch(codes, codes, known, text, torch.zeros(clips), network.spec, caption=caption)


def loss_of(network: PriorNetwork, batch: PriorBatch, smoothing: float, recompute: bool) -> Tensor:
    """With the kernel for CPUs; those for GPUs save as much, because they too see only the window."""
    loss: Tensor = network(batch, "gathered", smoothing, recompute).loss.mean()
    return loss


def phase_cost(
    shape: AnyPriorConfig, config: PriorTrainingConfig, phase: PriorPhaseConfig, recompute: bool
) -> StepCost:
    """The cost of a clip, without rollouts, which have no gradients and only add time.

    All layers cost the same, so the costs of one and of two layers give that of any number. With `recompute`, one
    layer's activations exist while its gradients are computed.
    """

    def cost(layers: int, recompute: bool) -> StepCost:
        teaching = config.teaching.label_smoothing, config.training.precision
        return network_cost(replace(shape, layers=layers), phase.frames, recompute, *teaching)

    one, two = (cost(layers, recompute) for layers in (1, 2))
    layer = cost(2, False).bytes - cost(1, False).bytes if recompute else 0
    more = shape.layers - 1
    operations = one.operations + more * (two.operations - one.operations)
    return StepCost(one.bytes + more * (two.bytes - one.bytes) + layer, operations)


@functools.lru_cache(maxsize=32)
def network_cost(shape: AnyPriorConfig, frames: int, recompute: bool, smoothing: float, precision: str) -> StepCost:
    """The cost of a clip of this many latent frames, with all layers of the shape."""
    raster_mask.cache_clear()  # real masks must not enter fake mode, nor fake ones leave it
    try:
        with fake_tensors():
            network = make_prior(shape)
            batch = zero_batch(network, frames, clips=1)
            return measure_cost([network], lambda: loss_of(network, batch, smoothing, recompute), precision)
    finally:
        raster_mask.cache_clear()


def make_trial(
    shape: AnyPriorConfig, config: PriorTrainingConfig, phase: PriorPhaseConfig, clips: int
) -> Callable[[], None]:
    """A real forward and backward pass of this many clips."""
    network = make_prior(shape)
    batch = zero_batch(network, phase.frames, clips)

    def step() -> None:
        smoothing, recompute = config.teaching.label_smoothing, config.recompute
        total = under_autocast(lambda: loss_of(network, batch, smoothing, recompute), config.training.precision)
        total.backward()  # type: ignore[no-untyped-call]

    return step


def phase_work(config: PriorTrainingConfig, phases: list[PriorPhaseConfig], costs: list[StepCost]) -> list[PhaseWork]:
    ends = [*(phase.from_step for phase in phases[1:]), config.training.steps]
    size = config.training.batch_size
    return [
        PhaseWork(end - phase.from_step, size, cost.operations)
        for phase, end, cost in zip(phases, ends, costs, strict=True)
    ]
