"""Both stages of training on another device: the numbers of a CPU, and one wait for the device a step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import PartialState

from prior.model import Lesson
from tests.fake_device import FAKE, FakeDevice
from tests.prior.models import WORDS, tiny_config, tiny_lesson, tiny_model
from tests.training import tiny, tiny_prior
from tests.training.fake import lines
from tests.training.tiny_prior import Set


@pytest.mark.parametrize("kernel", ["gathered", "dense"])
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_lesson_teaches_the_same_and_waits_for_nothing(kernel: Any, objective: Any) -> None:
    config = tiny_config(objective, sinks=1, context=WORDS)
    model, lesson = tiny_model(config), tiny_lesson(config, rate=0.5)
    model(lesson, kernel, 0.1, recompute=True).loss.mean().backward()
    with FakeDevice() as device:
        there = tiny_model(config).to(FAKE)
        there(moved(lesson), kernel, 0.1, recompute=True).loss.mean().backward()
        assert device.waits == 0, device.places
        gradients = {name: each.grad.cpu() for name, each in there.named_parameters() if each.grad is not None}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-12, msg=name)


def moved(lesson: Lesson) -> Lesson:
    return Lesson(*(None if part is None else part.to(FAKE) for part in lesson))  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", "prior"])
def test_a_run_is_that_of_a_cpu(stage: str, made: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything there is: rollouts, a discriminator, accumulation, averages, Muon, validation, checkpoints."""
    train: dict[str, Callable[[Path], Any]] = {
        "tokenizer": lambda folder: tiny.train(made[1].parent / "videos", folder),
        "prior": lambda folder: tiny_prior.train(*made, folder),
    }
    train[stage](tmp_path / "here")
    PartialState._reset_state()
    monkeypatch.setattr(PartialState, "default_device", property(lambda self: torch.device(FAKE)))
    monkeypatch.setattr("videogen.training.prior.run.device_for_lessons", lambda: FAKE)
    try:
        with FakeDevice() as device:
            outcome = train[stage](tmp_path / "there")
    finally:
        PartialState._reset_state()
    here, there = lines(tmp_path / "here"), lines(tmp_path / "there")
    assert [line["step"] for line in there] == [line["step"] for line in here]
    for one, other in zip(here, there, strict=True):
        numbers = {name: value for name, value in one.items() if isinstance(value, float)}
        assert {name: other[name] for name in numbers} == pytest.approx(numbers, rel=1e-3, abs=1e-5)
    assert device.places["metrics.py:means"] == outcome.steps
