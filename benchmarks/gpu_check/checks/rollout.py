"""Rollouts in training: the prior streams under autocast, with its cache in float32."""

from collections.abc import Iterator

import torch

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.checks.training import TrainingRun, preset
from benchmarks.gpu_check.common import attempt, format_ms
from benchmarks.measuring import time_calls
from videogen.training.prior.config import PriorPhaseConfig
from videogen.training.prior.samples import rollout_history


def check(device: str) -> Iterator[Finding]:
    yield from attempt("rollout", lambda: check_rollout(device))


def check_rollout(device: str) -> Iterator[Finding]:
    given = preset("80 M", device)
    training = TrainingRun(given, device)
    phase = PriorPhaseConfig(0, given.frames, rollout_share=1.0, rollout_steps=4)
    made: list[torch.Tensor] = []

    def work() -> None:
        with torch.autocast(training.setting.device.type, torch.bfloat16):
            made.append(rollout_history(training.network, training.batch, phase, list(range(given.batch))))

    work()
    taken = time_calls(work, 1, training.setting)
    first, again, known = made[0], made[1], training.batch.targets[:, :1]
    training.batch.spec.check_range(first)
    held = torch.equal(first[:, :1], known) and torch.equal(first, again)
    yield Finding(
        f"rollout in training, {given.name}, bf16: codes, and the same twice", yes_or_no(held), format_ms(taken),
        f"{format_ms(taken / given.frames)} per latent frame",
        f"{given.batch} clips of {given.frames} frames of {given.side**2} tokens, {phase.rollout_steps} proposals each",
        {"seconds": taken},
    )  # fmt: skip
