"""What a run of stage two would be: clips, memory and hours. Where there are neither tokens nor a tokenizer yet, shapes
come from the configuration of one; of a text encoder only its configuration is read, if it is on this machine."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.attention import raster_mask
from prior.config import ContextConfig, ControlConfig, PriorConfig
from prior.model import LlamaPrior, PriorBatch
from tokenizer.networks.cnn import CNNTokenizer
from videogen.clip_spec import ClipSpec
from videogen.conditioning.config import BPEConfig, EncoderConfig, TextConfig
from videogen.config import resolve
from videogen.data import load_index
from videogen.data.split import hold_out
from videogen.errors import UsageError
from videogen.models import load_tokenizer
from videogen.tokens import EncodeSpec, TokenSet
from videogen.tokens.description import NAME
from videogen.tokens.plan import plan
from videogen.training.estimate.machine import Machine
from videogen.training.estimate.memory_estimate import Cost, cost_of, in_precision, kept_bytes, shapes_only
from videogen.training.estimate.report import Need, Stretch, clips_at_once, hours, memory_figures, table
from videogen.training.loop.stage import Json, Player
from videogen.training.prior.batches import Lessons
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig
from videogen.training.prior.init_weights import first_weights
from videogen.training.prior.run import check_validation
from videogen.training.prior.stage import facts_of, network_config

FEATURES = 1024  # of a text encoder that is not on this machine: those of the large ones


@dataclass(frozen=True)
class Source:
    """A tokenizer as far as a dry run needs it; `fingerprint` is None of one that is not trained yet."""

    spec: TokenSpec
    clips: ClipSpec
    path: Path
    fingerprint: str | None
    control: ControlConfig | None = None  # of clips that are encoded


def source_of(given: str | None, config: PriorTrainingConfig) -> Source:
    """Of a model or a run, or of the configuration of a tokenizer, by its file or its name."""
    word = given or config.tokenizer_preset
    if word is None:
        raise UsageError("--tokenizer is missing: a model, a run, or for a dry run a configuration such as video_128")
    if Path(word).is_dir():
        model = load_tokenizer(word)
        return Source(model.spec, model.clips, model.path, model.fingerprint)
    known = resolve(word, expected="tokenizer")[1].value
    last = known.phases[-1]
    clips = ClipSpec(last.height, last.width, known.data.fps, last.frames)
    with shapes_only():
        spec = CNNTokenizer(known.tokenizer).spec(last.height, last.width)
    return Source(spec, clips, Path(word), None)


def survey(
    config: PriorTrainingConfig, tokenizer: str | None, machine: Machine, processes: int = 1
) -> tuple[Json, str]:
    """What a run would train, on what, in how much memory and time: as figures and as text."""
    source, training = source_of(tokenizer, config), config.training
    micro = clips_at_once(training, processes)
    clips, source = clips_of(config, source)
    context, text = context_for(config.text)
    phases = [phase for phase in config.phases if phase.from_step < training.steps]
    with shapes_only():
        network = LlamaPrior(network_config(config, source, context))
    costs = [phase_cost(network.config, config, each, config.recompute) for each in phases]
    largest = max(costs, key=lambda cost: cost.bytes)
    phase = phases[costs.index(largest)]
    thrifty = phase_cost(network.config, config, phase, recompute=True).bytes
    if (weights := first_weights(network, config)) is not None:
        weights()  # only for what is wrong with them
    kept = kept_bytes(Player(network, config.optimizer))
    need = Need(
        kept, largest.bytes, None if config.recompute else thrifty, sharded=config.optimizer.algorithm == "adamw"
    )
    figures: Json = {
        **facts_of(network, source.clips.fps, config.kernel),
        **text,
        "tokenizer": str(source.path) if source.fingerprint else f"{source.path}, by its configuration alone",
        **clips,
        "steps": training.steps,
        "micro-batches": [[micro, each.frames, source.spec.tokens] for each in config.phases],
        **memory_figures(need, training, processes, machine),
        **hours(
            stretches(config, phases, costs), training, processes, machine,
            lambda count: trial(network.config, config, phase, count), largest, need,
        ),
    }  # fmt: skip
    return figures, table(figures)


def clips_of(config: PriorTrainingConfig, source: Source) -> tuple[Json, Source]:
    """How many clips a run would have, and of which tokens, as far as that is known."""
    data = config.data
    if not data.train.exists():
        return {"clips": f"not known: {data.train} is not there"}, source
    check_validation(config, source.fingerprint)
    sets = [None if each is None else TokenSet.open(each, source.fingerprint) if is_encoded(each) else None
            for each in (data.train, data.validation)]  # fmt: skip
    train, validation = sets
    steps = config.training.steps * config.training.batch_size
    if train is not None and (validation is not None or data.validation is None):
        lessons, known = Lessons(config, train, validation), train.description
        figures = lessons.used().figures()
        shown = replace(source.clips, height=known.clips.height, width=known.clips.width, fps=known.clips.fps)
        source = replace(source, spec=known.spec, clips=shown, control=known.control)
    else:
        figures = clips_to_encode(config, source)
    return {**figures, "epochs": steps / figures["clips"] if figures["clips"] else None}, source


def clips_to_encode(config: PriorTrainingConfig, source: Source) -> Json:
    """Of a set that is not encoded yet: as long as they are in the index."""
    data, clips = config.data, source.clips
    cut = EncodeSpec(clips.height, clips.width, clips.fps)
    least = source.spec.video_frames(config.phases[-1].frames - 1) + 1

    def counted(index_of: Path) -> tuple[int, int]:
        if is_encoded(index_of):
            return len(TokenSet.open(index_of)), 0
        return long_enough(load_index(index_of))

    def long_enough(index: object) -> tuple[int, int]:
        planned, _ = plan(index, cut)  # type: ignore[arg-type]
        long = sum(each.frames >= least for each in planned)
        return long, len(planned) - long

    if data.validation is None:
        parts = [long_enough(part) for part in hold_out(load_index(data.train), data.validation_share)]
    else:
        parts = [counted(data.train), counted(data.validation)]
    (train, short), (held_out, short_too) = parts
    return {
        "clips": train,
        "clips to validate with": min(held_out, data.validation_clips),
        "clips too short": short + short_too,
    }


def is_encoded(data: Path) -> bool:
    return (data / NAME).is_file()


def context_for(text: TextConfig | None) -> tuple[ContextConfig | None, Json]:
    """The context of a prior, and what was assumed of it."""
    if text is None:
        return None, {}
    if isinstance(text, BPEConfig):
        return ContextConfig(text.length, text.vocabulary), {}
    features = features_here(text)
    assumed = {} if features else {"text encoder": f"{text.model} is not here: {FEATURES} features are assumed"}
    return ContextConfig(text.length, features=features or FEATURES), assumed


def features_here(text: EncoderConfig) -> int | None:
    """Of an encoder in a folder, or among what was downloaded before; nothing is downloaded for it."""
    from huggingface_hub import try_to_load_from_cache

    name = "/".join(part for part in (text.subfolder, "config.json") if part)
    place = Path(text.model).expanduser() / name
    if not place.is_file():
        try:
            cached = try_to_load_from_cache(text.model, name, revision=text.revision)
        except ValueError:  # no name on the hub
            return None
        if not isinstance(cached, str):
            return None
        place = Path(cached)
    known = json.loads(place.read_bytes())
    size = known.get("hidden_size") or known.get("d_model") or known.get("text_config", {}).get("hidden_size")
    return size if isinstance(size, int) else None


def zero_batch(network: LlamaPrior, frames: int, clips: int) -> PriorBatch:
    """Zeros, in the shapes of a batch."""
    codes = network.spec.empty(clips, frames)
    known = torch.zeros(codes.shape[:3], dtype=torch.bool) if network.config.objective == "masked" else None
    text = None if network.context is None else network.no_text(clips)
    return PriorBatch(codes, codes, known, text, torch.zeros(clips), network.spec)


def loss_of(network: LlamaPrior, batch: PriorBatch, smoothing: float, recompute: bool) -> Tensor:
    """By the kernel that a CPU takes; one for GPUs keeps as much, for it too sees no more than the window."""
    loss: Tensor = network(batch, "gathered", smoothing, recompute).loss.mean()
    return loss


def phase_cost(shape: PriorConfig, config: PriorTrainingConfig, phase: PriorPhaseConfig, recompute: bool) -> Cost:
    """Of a clip; rollouts, which have no gradients, come on top of the time.

    All layers cost the same, so one and two of them say what any number does. With `recompute` what one layer keeps is
    there once, while its gradients are taken.
    """

    def cost(layers: int, recompute: bool) -> Cost:
        teaching = config.teaching.label_smoothing, config.training.precision
        return stack_cost(replace(shape, layers=layers), phase.frames, recompute, *teaching)

    one, two = (cost(layers, recompute) for layers in (1, 2))
    layer = cost(2, False).bytes - cost(1, False).bytes if recompute else 0
    more = shape.layers - 1
    operations = one.operations + more * (two.operations - one.operations)
    return Cost(one.bytes + more * (two.bytes - one.bytes) + layer, operations)


@functools.lru_cache(maxsize=32)
def stack_cost(shape: PriorConfig, frames: int, recompute: bool, smoothing: float, precision: str) -> Cost:
    """Of a clip of so many latent frames, every layer of the shape counted."""
    raster_mask.cache_clear()  # what is kept has memory, and what is made here has none
    try:
        with shapes_only():
            network = LlamaPrior(shape)
            batch = zero_batch(network, frames, clips=1)
            return cost_of([network], lambda: loss_of(network, batch, smoothing, recompute), precision)
    finally:
        raster_mask.cache_clear()


def trial(shape: PriorConfig, config: PriorTrainingConfig, phase: PriorPhaseConfig, clips: int) -> Callable[[], None]:
    """A real step of so many clips, without the optimizer's."""
    network = LlamaPrior(shape)
    batch = zero_batch(network, phase.frames, clips)

    def step() -> None:
        smoothing, recompute = config.teaching.label_smoothing, config.recompute
        total = in_precision(lambda: loss_of(network, batch, smoothing, recompute), config.training.precision)
        total.backward()  # type: ignore[no-untyped-call]

    return step


def stretches(config: PriorTrainingConfig, phases: list[PriorPhaseConfig], costs: list[Cost]) -> list[Stretch]:
    ends = [*(phase.from_step for phase in phases[1:]), config.training.steps]
    size = config.training.batch_size
    return [
        Stretch(end - phase.from_step, size, cost.operations)
        for phase, end, cost in zip(phases, ends, costs, strict=True)
    ]
