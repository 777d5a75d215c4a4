"""A run of stage one from its configuration: what it would be, and the run itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from videogen.data import refuse_changed
from videogen.pixels import to_clip
from videogen.training.budget import kept_bytes, saved_bytes
from videogen.training.clips import Clips
from videogen.training.plain import plain, said
from videogen.training.stage import Json, begin
from videogen.training.tokenizer_config import TokenizerTrainingConfig
from videogen.training.tokenizer_stage import TokenizerStage
from videogen.training.trainer import CHANGEABLE, Listener, Outcome, train

ELSEWHERE = frozenset({"data.train", "data.validation", "data.workers"})  # a set may be moved; its clips may not change


def run_tokenizer(
    config: TokenizerTrainingConfig, folder: Path, resume: bool, **listener: Callable[..., None]
) -> Outcome:
    """Train in `folder`; the listeners are those of `Listener`."""
    clips = Clips(config)
    for index in clips.indexed:
        refuse_changed(index)
    resolved = {**plain(config), "clips": clips.fingerprint()}
    return train(
        lambda: TokenizerStage(config, clips),
        config.training,
        folder,
        resolved,
        resume,
        Listener(**listener),
        CHANGEABLE | ELSEWHERE,
        remarks=(clips.used().line(),),
    )


def survey(config: TokenizerTrainingConfig) -> tuple[Json, str]:
    """What a run would train, on what, and in how much memory: as figures and as text."""
    clips = Clips(config)
    stage = TokenizerStage(config, clips)
    begin(stage.players)
    dataset, used = clips.dataset(0, images=False), clips.used()
    micro = config.training.batch_size // config.training.accumulation
    shapes = [[micro, p.frames, p.height, p.width, 3] for p in config.phases]
    memory = {name: bytes_ // 2**20 for name, bytes_ in memory_of(stage, micro).items()}
    figures: dict[str, Any] = {
        **stage.figures(),
        **used.figures(),
        "clips refused": used.refused,
        "steps": config.training.steps,
        "epochs": config.training.steps * config.training.batch_size / used.train,
        "micro-batches": shapes,
        "first clips": [dataset.sample(0, i).key for i in range(min(4, len(dataset)))],
        "memory in MiB": memory,
    }
    return figures, "\n".join(f"{name:<28} {said(value)}" for name, value in figures.items())


def memory_of(stage: TokenizerStage, micro: int) -> dict[str, int]:
    """Bytes of a step: what stays, and activations, counted on one clip.

    What convolutions need for themselves while they work, and the discriminator's activations, come on top.
    """
    kept = sum(kept_bytes(player) for player in stage.players.values())
    largest = max(stage.config.phases, key=lambda phase: phase.frames * phase.height * phase.width)
    clip = to_clip(torch.zeros(1, largest.frames, largest.height, largest.width, 3, dtype=torch.uint8))
    activations = micro * saved_bytes(stage.network, lambda: stage.network(clip))
    if stage.config.training.precision == "bf16":
        activations //= 2
    return {"weights, averages, optimizers": kept, "activations": activations, "together": kept + activations}
