"""Both stages of training on another device: the numbers of a CPU, and one wait for the device a step."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import PartialState

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import ContextConfig, PriorConfig
from prior.laws import random_batch
from prior.model import LlamaPrior, PriorBatch
from tests.fake_device import FAKE, FakeDevice
from tests.training import tiny, tiny_prior
from tests.training.fake import lines
from tests.training.tiny_prior import Set

SPEC = TokenSpec(codebooks=(4, 3), groups=(TokenGroup("tokens", (2, 3)),), frames_per_latent=4)


@pytest.mark.parametrize("kernel", ["gathered", "dense"])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_gradients_are_those_of_a_cpu_and_nothing_waits(kernel: Any, objective: Any) -> None:
    config = PriorConfig(
        width=32, layers=2, heads=4, kv_heads=2, hidden=40, window=2, objective=objective, spec=SPEC,
        context=ContextConfig(length=3, vocabulary=7),
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaPrior(config).double()
    there, batch = copy.deepcopy(model), random_batch(config, 2, 5, SPEC, torch.Generator().manual_seed(0), 0.5)
    model(batch, kernel, 0.1, recompute=True).loss.mean().backward()
    with FakeDevice() as device:
        there.to(FAKE)
        there(moved(batch), kernel, 0.1, recompute=True).loss.mean().backward()
        assert device.waits == 0, device.places
        gradients = {name: each.grad.cpu() for name, each in there.named_parameters() if each.grad is not None}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-12, msg=name)


def moved(batch: PriorBatch) -> PriorBatch:
    return PriorBatch(*(part.to(FAKE) if hasattr(part, "to") else part for part in batch))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", "prior"])
def test_a_run_is_that_of_a_cpu(stage: str, made: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rollouts, a discriminator, accumulation, averages, Muon, validation and checkpoints."""
    train: dict[str, Callable[[Path], Any]] = {
        "tokenizer": lambda folder: tiny.train(made[1].parent / "videos", folder),
        "prior": lambda folder: tiny_prior.train(*made, folder),
    }
    train[stage](tmp_path / "here")
    PartialState._reset_state()
    monkeypatch.setattr(PartialState, "default_device", property(lambda self: torch.device(FAKE)))
    monkeypatch.setattr("videogen.training.prior.run.data_device", lambda: FAKE)
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
