"""The smallest run of stage one that has everything: two phases and images, a discriminator, averages, accumulation.

`python -m tests.training.tiny DATA RUN KEY=VALUE...` trains it, with `quantizer=NAME` one of QUANTIZERS.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.tokenizer.models import FSQ_1000, small_config
from tokenizer.losses.adversarial import AdversarialConfig
from tokenizer.losses.discriminator import DiscriminatorConfig
from tokenizer.losses.objective import LossConfig
from tokenizer.losses.perceptual import MultiscaleStructureConfig
from tokenizer.quantize import (
    ContinuousConfig,
    MultiHeadConfig,
    QuantizerConfig,
    ResidualConfig,
    Revival,
    SoftVQConfig,
    VQConfig,
)
from tokenizer.quantize.anneal import Anneal
from videogen.storage import Location, location
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.loop.trainer import TrainingResult
from videogen.training.tokenizer.config import DataConfig, PhaseConfig, TokenizerTrainingConfig
from videogen.training.tokenizer.run import run_tokenizer

ADVERSARIAL = AdversarialConfig(
    loss="hinge",
    weight=0.1,
    start_step=3,
    ramp_steps=2,
    adaptive_bound=10.0,
    lecam_weight=0.01,
    lecam_decay=0.9,
    discriminator=DiscriminatorConfig(widths=(4, 8), time_halvings=1),
)
TRAINING = TrainingConfig(
    steps=9, batch_size=4, accumulation=2, seed=1, average_decay=0.9, log_every=2, validate_every=4, sample_every=0,
    checkpoint_every=2,
)  # fmt: skip


QUANTIZERS: dict[str, QuantizerConfig] = {
    "fsq": FSQ_1000,
    "soft_vq": SoftVQConfig(64, 4, Anneal(1.0, 0.1, steps=6)),
    "vq": VQConfig(  # all that has to be resumed: moving averages, revival, first codes over several steps, a schedule
        64, 4, first="kmeans", first_samples=64, commitment_schedule=Anneal(1.0, 0.1, steps=6),
        revival=Revival(source="reservoir", every=2, decay=0.5, reservoir=64),
    ),
    "composed": MultiHeadConfig(  # maps that follow gradients, codebooks that follow statistics, draws in each step
        ResidualConfig(VQConfig(16, 4, revival=Revival(source="worst", every=2)), depth=3, dropout=0.5), 6, heads=2,
        redundancy_weight=0.1,
    ),
    "continuous": ContinuousConfig(dim=4, kl_weight=0.01),  # samples in each step
}  # fmt: skip


def tiny_config(data: Location, quantizer: str = "fsq", **training: Any) -> TokenizerTrainingConfig:
    return TokenizerTrainingConfig(
        data=DataConfig(train=data, fps=8, validation_share=0.3, validation_clips=3),
        phases=(
            PhaseConfig(from_step=0, height=16, width=16, frames=5, image_share=0.4, image_batches=2),
            PhaseConfig(from_step=4, height=16, width=24, frames=9),
            PhaseConfig(from_step=7, height=16, width=16, frames=5, decoder_only=True),
        ),
        tokenizer=small_config(f_t=4, f_s=8, quantizer=QUANTIZERS[quantizer]),
        loss=LossConfig(1.0, 1.0, MultiscaleStructureConfig("multiscale_structure", 0.1), ADVERSARIAL),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup=2, schedule="cosine", floor=0.1, algorithm="muon"),
        training=replace(TRAINING, **training),
        discriminator_optimizer=OptimizerConfig(learning_rate=1e-3, warmup=2, schedule="constant"),
    )


def train(
    data: Location, folder: Path, resume: bool = False, quantizer: str = "fsq", **training: Any
) -> TrainingResult:
    return run_tokenizer(tiny_config(data, quantizer, **training), folder, resume)


if __name__ == "__main__":
    torch.set_num_threads(1)
    words = dict(word.split("=") for word in sys.argv[3:])
    quantizer = words.pop("quantizer", "fsq")
    settings = {name: json.loads(value) for name, value in words.items() if name != "mirror"}
    if "mirror" in words:
        settings["mirror"] = location(words["mirror"])
    train(location(sys.argv[1]), Path(sys.argv[2]), resume=True, quantizer=quantizer, **settings)
