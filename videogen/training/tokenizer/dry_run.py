"""What a run of stage one would be: clips, memory and hours; where there are no clips yet, from its configuration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from tokenizer.losses.discriminator import Discriminator
from tokenizer.losses.perceptual import LPIPSConfig
from tokenizer.networks.cnn import CNNTokenizer
from videogen.training.estimate.machine import Machine
from videogen.training.estimate.memory_estimate import Cost, cost_of, in_precision, kept_bytes, shapes_only
from videogen.training.estimate.report import Need, Stretch, clips_at_once, hours, memory_figures, table
from videogen.training.loop.stage import Json
from videogen.training.tokenizer.clips import Clips
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig
from videogen.training.tokenizer.stage import DISCRIMINATOR, TokenizerStage, weights_of


def survey(config: TokenizerTrainingConfig, machine: Machine, processes: int = 1) -> tuple[Json, str]:
    """What a run would train, on what, in how much memory and time: as figures and as text."""
    training = config.training
    micro = clips_at_once(training, processes)
    with shapes_only():
        stage = TokenizerStage(without_weights(config), cast(Clips, None))  # it reads none here
        costs = [phase_cost(stage, number) for number in range(len(reached(config)))]
        parts = stretches(stage, costs)
    if config.begin_with is not None:
        weights_of(config, stage.network)  # only for what is wrong with it
    kept = sum(kept_bytes(player) for player in stage.players.values())
    largest = max(costs, key=lambda cost: cost.bytes)
    phase = reached(config)[costs.index(largest)]
    need = Need(kept, largest.bytes)
    figures: Json = {
        **stage.figures(),
        **clips_of(config),
        "steps": training.steps,
        "micro-batches": [[micro, p.frames, p.height, p.width, 3] for p in config.phases],
        **memory_figures(need, training, processes, machine),
        **hours(
            parts, training, processes, machine, lambda count: trial(config, phase, count), largest, need,
        ),
    }  # fmt: skip
    return figures, table(figures)


def without_weights(config: TokenizerTrainingConfig) -> TokenizerTrainingConfig:
    """A loss that reads its network from a file is left out: what it needs comes on top."""
    if isinstance(config.loss.perceptual, LPIPSConfig):
        return replace(config, loss=replace(config.loss, perceptual=None))
    return config


def clips_of(config: TokenizerTrainingConfig) -> Json:
    if not Path(config.data.train).exists():
        return {"clips": f"not known: {config.data.train} is not there"}
    clips = Clips(config)
    used, dataset = clips.used(), clips.dataset(0, images=False)
    return {
        **used.figures(),
        "clips refused": used.refused,
        "epochs": config.training.steps * config.training.batch_size / used.train,
        "first clips": [dataset.sample(0, i).key for i in range(min(4, len(dataset)))],
    }


def reached(config: TokenizerTrainingConfig) -> tuple[PhaseConfig, ...]:
    return tuple(phase for phase in config.phases if phase.from_step < config.training.steps)


def phase_cost(stage: TokenizerStage, number: int, images: bool = False) -> Cost:
    """Of a clip of this phase, or of one of its images, in the larger of the turns of a step."""
    phase, precision = stage.config.phases[number], stage.config.training.precision
    frames = 1 if images else phase.frames
    clip, critic = torch.zeros(1, 3, frames, phase.height, phase.width), critic_of(stage, number)
    networks = [stage.network] if critic is None else [stage.network, critic]
    stage.network.encoder.requires_grad_(not phase.decoder_only)
    first = cost_of(networks, lambda: loss_of(stage.network, critic, clip), precision)
    if critic is None:
        return first
    second = cost_of(networks, lambda: critic(torch.cat([clip, clip])).float().mean(), precision)
    return Cost(max(first.bytes, second.bytes), first.operations + second.operations)


def critic_of(stage: TokenizerStage, number: int) -> Discriminator | None:
    """The discriminator, in phases that end after it has begun."""
    phases, adversarial = reached(stage.config), stage.adversarial
    if adversarial is None:
        return None
    end = stage.config.training.steps if number + 1 == len(phases) else phases[number + 1].from_step
    return cast(Discriminator, stage.players[DISCRIMINATOR].module) if end > adversarial.start_step else None


def loss_of(network: CNNTokenizer, critic: nn.Module | None, clip: Tensor) -> Tensor:
    """As dear as the losses of training: the clip once, and what a critic says of it."""
    out = network(clip)
    total: Tensor = (out.clip.float() - clip).square().mean() + sum(loss.float() for loss in out.losses.values())
    return total if critic is None else total + critic(out.clip).float().mean()


def stretches(stage: TokenizerStage, costs: list[Cost]) -> list[Stretch]:
    config, size = stage.config, stage.config.training.batch_size
    ends = [*(phase.from_step for phase in reached(config)[1:]), config.training.steps]
    found = []
    for number, (phase, end, cost) in enumerate(zip(reached(config), ends, costs, strict=True)):
        steps = end - phase.from_step
        found.append(Stretch(steps * (1 - phase.image_share), size, cost.operations))
        if phase.image_share:
            image = phase_cost(stage, number, images=True).operations
            found.append(Stretch(steps * phase.image_share, size * phase.image_batches, image))
    return found


def trial(config: TokenizerTrainingConfig, phase: PhaseConfig, clips: int) -> Callable[[], None]:
    """A real step of so many clips, without the optimizer's."""
    clip, network = torch.zeros(clips, 3, phase.frames, phase.height, phase.width), CNNTokenizer(config.tokenizer)

    def step() -> None:
        total = in_precision(lambda: loss_of(network, None, clip), config.training.precision)
        total.backward()  # type: ignore[no-untyped-call]

    return step
