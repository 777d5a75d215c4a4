import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.loop.schedule import ema_decay, is_due, lr_factor, seed_everything


def test_cosine_schedule() -> None:
    rates = [lr_factor("cosine", step, steps=100, warmup=10, floor=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1)
    assert lr_factor("cosine", 1000, 100, 10, 0.1) == rates[-1], "a run made longer stays at the floor"


def test_constant_schedule() -> None:
    assert [lr_factor("constant", step, 5, 2, 0.5) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


def test_ema_decay_starts_small() -> None:
    decays = [ema_decay(0.99, step) for step in range(2000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.99


def test_intervals() -> None:
    assert [step for step in range(10) if is_due(3, step)] == [3, 6, 9]
    assert not any(is_due(0, step) for step in range(10))


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_seeds_depend_on_purpose_step_and_process() -> None:
    seen = set()
    for moment in [(0, "step", 0, 0), (0, "step", 1, 0), (0, "step", 0, 1), (1, "step", 0, 0), (0, "samples", 0, 0)]:
        seed_everything(*moment)  # type: ignore[arg-type]
        first = draws()
        draws()
        seed_everything(*moment)  # type: ignore[arg-type]
        assert draws() == first
        seen.update(first)
    assert len(seen) == 15


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("batch_size", 0), ("accumulation", 3), ("seed", -1), ("average_decay", 1.0), ("keep", 0)],
)
def test_a_wrong_setting_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value:g}"):
        TrainingConfig(**{"steps": 10, "batch_size": 8, name: value})  # type: ignore[arg-type]


def test_a_seed_has_64_bits() -> None:
    TrainingConfig(steps=1, batch_size=1, seed=2**64 - 1)
    with pytest.raises(ValueError, match="18446744073709551616"):
        TrainingConfig(steps=1, batch_size=1, seed=2**64)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.0), ("floor", 2.0), ("warmup", -1), ("weight_decay", -0.1), ("clip", 0.0), ("betas", (1, 0))],
)
def test_a_wrong_setting_of_an_optimizer_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        OptimizerConfig(**{"learning_rate": 0.1, "warmup": 1, "schedule": "constant", name: value})  # type: ignore[arg-type]
