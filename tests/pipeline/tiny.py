"""The smallest complete model, with random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from prior.config import ContextConfig, ControlConfig, Objective
from tests.prior.models import tiny_config, tiny_model
from tests.tokenizer.models import small_config, small_model
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.conditioning import BPEConfig, make_conditioner
from videogen.models import TokenizerModel, load_tokenizer, prior_files, tokenizer_files
from videogen.pipeline import VideoPipeline

GRID, SIZE, FPS = (2, 3), (16, 24), 8.0
RING = "a small red ring drifts left over a dark blue background"
STAR = "a big yellow star spins over a green background"
LENGTH = 48  # tokens of a prompt
CLIPS = ClipSpec(*SIZE, FPS, frames=9)
MASKED_ORDERS = ("halton", "confidence", "random", "threshold", "entropy", "raster")


def write_model(
    folder: Path,
    objective: Objective = "masked",
    text: bool = True,
    settings: dict[str, Any] | None = None,
    control: ControlConfig | None = None,
    captions: bool = False,
) -> Path:
    """A model folder: latent frames of 2 x 3 tokens out of 1,000, a window of 2, frames of 16 x 24."""
    conditioner = make_conditioner(BPEConfig(vocabulary=300, length=LENGTH), [RING, STAR]) if text else None
    context = None if conditioner is None else ContextConfig(LENGTH, vocabulary=conditioner.vocabulary)
    tokenizer = tiny_tokenizer(folder.parent)
    config = tiny_config(objective, spec=tokenizer.spec, context=context, control=control)
    config = replace(config, captions=captions)
    weights = tiny_model(config).float().state_dict()
    files = prior_files(tokenizer, config, CLIPS, weights, conditioner, "# a card")
    write_folder(folder, files if settings is None else {**files, "generation_config.json": settings})
    return folder


def tiny_tokenizer(folder: Path) -> TokenizerModel:
    place, config = folder / "tokenizer", small_config()
    if not place.exists():
        files = tokenizer_files(config, CLIPS, small_model(config).state_dict(), "# a card")
        write_folder(place, files)
    return load_tokenizer(place)


def exact(pipe: VideoPipeline) -> VideoPipeline:
    """The prior in float64, so that rounding does not change codes."""
    return pipe.to(dtype=torch.float64)
