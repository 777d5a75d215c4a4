"""A dry run of stage one: clips (if they are there), memory and hours."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from interfaces.text import CaptionInput
from tokenizer.losses.discriminator import Discriminator
from tokenizer.losses.lpips import LPIPSConfig
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import LatentTokenizer
from videogen.models.vision import load_vision
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
from videogen.training.loop.stage import Json
from videogen.training.prior.dry_run import find_context
from videogen.training.tokenizer.clips import ClipBatches
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig
from videogen.training.tokenizer.init_weights import init_weights
from videogen.training.tokenizer.stage import DISCRIMINATOR, TokenizerStage
from videogen.training.tokenizer.text import with_input


def dry_run(config: TokenizerTrainingConfig, machine: Machine, processes: int = 1) -> tuple[Json, str]:
    """What a run would train, on what, in how much memory and time: as data and as text."""
    text, assumed = find_context(config.text)
    given = None if text is None else CaptionInput(text.length, text.vocabulary, text.features)
    config = with_input(config, given)
    training = config.training
    micro = micro_batch_size(training, processes)
    with fake_tensors():
        stage = TokenizerStage(without_pretrained(config), cast(ClipBatches, None))  # no clip is read here
        costs = [phase_cost(stage, number) for number in range(len(reached_phases(config)))]
        work = phase_work(stage, costs)
    load_vision(config.loss.alignment)  # raises if there is none
    if config.init_from is not None:
        init_weights(config, make_tokenizer(config.tokenizer))  # raises if they do not fit
    fixed = sum(state_bytes(trained) for trained in stage.trained_modules.values())
    largest = max(costs, key=lambda cost: cost.bytes)
    phase = reached_phases(config)[costs.index(largest)]
    need = MemoryNeed(fixed, largest.bytes)
    facts: Json = {
        **stage.summary(),
        **assumed,
        **clip_counts(config),
        "steps": training.steps,
        "micro-batches": [[micro, p.frames, p.height, p.width, 3] for p in config.phases],
        **memory_report(need, training, processes, machine),
        **estimate_hours(
            work, training, processes, machine, lambda count: make_trial(config, phase, count), largest, need,
        ),
    }  # fmt: skip
    return facts, format_table(facts)


def without_pretrained(config: TokenizerTrainingConfig) -> TokenizerTrainingConfig:
    """The configuration without LPIPS and alignment, whose networks are in files; their cost is not counted."""
    lpips = isinstance(config.loss.perceptual, LPIPSConfig)
    perceptual = None if lpips else config.loss.perceptual
    return replace(config, loss=replace(config.loss, perceptual=perceptual, alignment=None))


def clip_counts(config: TokenizerTrainingConfig) -> Json:
    if not config.data.train.exists():
        return {"clips": f"not known: {config.data.train} is not there"}
    clips = ClipBatches(config)
    report, dataset = clips.report(), clips.dataset(0, images=False)
    return {
        **report.as_dict(),
        "clips refused": report.refused,
        "epochs": config.training.steps * config.training.batch_size / report.train,
        "first clips": [dataset.sample(0, i).key for i in range(min(4, len(dataset)))],
    }


def reached_phases(config: TokenizerTrainingConfig) -> tuple[PhaseConfig, ...]:
    return tuple(phase for phase in config.phases if phase.from_step < config.training.steps)


def phase_cost(stage: TokenizerStage, number: int, images: bool = False) -> StepCost:
    """The cost of a clip (or an image) of this phase; memory is that of the larger of the two backward passes."""
    phase, precision = stage.config.phases[number], stage.config.training.precision
    frames = 1 if images else phase.frames
    clip, critic = torch.zeros(1, 3, frames, phase.height, phase.width), critic_of(stage, number)
    networks = [stage.network] if critic is None else [stage.network, critic]
    stage.network.encoder.requires_grad_(not phase.freezes_encoder)
    first = measure_cost(networks, lambda: loss_of(stage.network, critic, clip), precision)
    if critic is None:
        return first
    second = measure_cost(networks, lambda: critic(torch.cat([clip, clip])).float().mean(), precision)
    return StepCost(max(first.bytes, second.bytes), first.operations + second.operations)


def critic_of(stage: TokenizerStage, number: int) -> Discriminator | None:
    """The discriminator, in phases that end after its first step."""
    phases, adversarial = reached_phases(stage.config), stage.adversarial
    if adversarial is None:
        return None
    end = stage.config.training.steps if number + 1 == len(phases) else phases[number + 1].from_step
    return cast(Discriminator, stage.trained_modules[DISCRIMINATOR].module) if end > adversarial.start_step else None


def loss_of(network: LatentTokenizer, critic: nn.Module | None, clip: Tensor) -> Tensor:
    """As costly as the losses of training: the clip once, and the discriminator's output for it."""
    out = network(clip)
    total: Tensor = (out.clip.float() - clip).square().mean() + sum(loss.float() for loss in out.losses.values())
    return total if critic is None else total + critic(out.clip).float().mean()


def phase_work(stage: TokenizerStage, costs: list[StepCost]) -> list[PhaseWork]:
    config, size = stage.config, stage.config.training.batch_size
    ends = [*(phase.from_step for phase in reached_phases(config)[1:]), config.training.steps]
    found = []
    for number, (phase, end, cost) in enumerate(zip(reached_phases(config), ends, costs, strict=True)):
        steps = end - phase.from_step
        found.append(PhaseWork(steps * (1 - phase.image_share), size, cost.operations))
        if phase.image_share:
            image = phase_cost(stage, number, images=True).operations
            found.append(PhaseWork(steps * phase.image_share, size * phase.image_batches, image))
    return found


def make_trial(config: TokenizerTrainingConfig, phase: PhaseConfig, clips: int) -> Callable[[], None]:
    """A real forward and backward pass of this many clips."""
    clip, network = torch.zeros(clips, 3, phase.frames, phase.height, phase.width), make_tokenizer(config.tokenizer)

    def step() -> None:
        total = under_autocast(lambda: loss_of(network, None, clip), config.training.precision)
        total.backward()  # type: ignore[no-untyped-call]

    return step
