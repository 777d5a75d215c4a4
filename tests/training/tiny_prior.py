"""The smallest run of stage two that has everything: two phases, rollouts, text, corruption, accumulation, averages.

`python -m tests.training.tiny_prior MODEL TOKENS RUN KEY=VALUE...` trains it.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from prior.config import PriorShape
from videogen.conditioning import BPEConfig
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.loop.trainer import TrainingResult
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig, TokenDataConfig
from videogen.training.prior.run import run_prior

Set = tuple[Path, Path]  # a tokenizer, and tokens of it
TRAINING = TrainingConfig(
    steps=8, batch_size=4, accumulation=2, seed=1, average_decay=0.9, log_every=2, validate_every=4, sample_every=0,
    checkpoint_every=2,
)  # fmt: skip


def tiny_config(
    tokens: Path, objective: Literal["masked", "autoregressive"] = "masked", **training: int
) -> PriorTrainingConfig:
    share = 0.5 if objective == "masked" else 0.0
    return PriorTrainingConfig(
        data=TokenDataConfig(train=tokens, validation_share=0.3, validation_clips=4),
        phases=(
            PriorPhaseConfig(from_step=0, frames=2),
            PriorPhaseConfig(from_step=4, frames=3, rollout_share=share, rollout_steps=2),
        ),
        prior=PriorShape(width=16, layers=2, heads=2, kv_heads=1, hidden=24, window=2, objective=objective),
        text=BPEConfig(vocabulary=300, length=6),
        teaching=TeachingConfig(
            label_smoothing=0.1, corruption=0.3, corruption_share=0.7, text_dropout=0.2, scene_cut_probability=0.3
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=2, schedule="cosine", floor=0.1, algorithm="muon"),
        training=replace(TRAINING, **training),
    )


def train(
    model: Path,
    tokens: Path,
    folder: Path,
    resume: bool = False,
    config: PriorTrainingConfig | None = None,
    **training: Any,
) -> TrainingResult:
    config = config or tiny_config(tokens)
    return run_prior(replace(config, training=replace(config.training, **training)), model, folder, resume)


if __name__ == "__main__":
    torch.set_num_threads(1)
    model, tokens, folder, *settings = sys.argv[1:]
    chosen = {name: json.loads(value) for name, value in (setting.split("=") for setting in settings)}
    train(Path(model), Path(tokens), Path(folder), resume=True, **chosen)
