"""Tiny priors with random weights, and lessons for them."""

from typing import Literal

import torch

from prior.config import ContextConfig, PriorConfig
from prior.laws import random_batch
from prior.model import Lesson, LlamaPrior

WORDS = ContextConfig(length=3, vocabulary=7)
FEATURES = ContextConfig(length=4, features=5)


def tiny_config(
    objective: Literal["masked", "next"] = "masked",
    digits: tuple[int, ...] = (4, 3),
    window: int = 2,
    sinks: int = 0,
    context: ContextConfig | None = None,
    layers: int = 2,
    qk_norm: bool = True,
) -> PriorConfig:
    return PriorConfig(
        digits=digits,
        width=32,
        layers=layers,
        heads=4,
        kv_heads=2,
        hidden=40,
        window=window,
        objective=objective,
        context=context,
        sink_frames=sinks,
        qk_norm=qk_norm,
        head_width=12,  # six pairs: two for each axis
    )


def tiny_model(config: PriorConfig, seed: int = 0) -> LlamaPrior:
    """In float64, every weight random and large enough to matter: vectors of size one stay of about that size."""
    generator = torch.Generator().manual_seed(seed)
    model = LlamaPrior(config).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            matrix = parameter.ndim == 2 and not any(part in name for part in ("tables", "known", "place", "tokens"))
            norm = "norm" in name or "before" in name
            parameter.copy_(1 + 0.3 * noise if norm else noise * parameter.shape[-1] ** -0.5 if matrix else noise)
    return model


def tiny_lesson(
    config: PriorConfig,
    batch: int = 2,
    frames: int = 5,
    grid: tuple[int, int] = (2, 3),
    rate: float = 0.0,
    seed: int = 0,
) -> Lesson:
    return random_batch(config, batch, frames, grid, torch.Generator().manual_seed(seed), rate)
