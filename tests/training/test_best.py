"""The best model by validation is kept beside the last, and overfitting fires an alarm."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.fake import SMALL, FakeConfig, FakeStage, lines, run
from tests.training.programs import same_bits
from tests.training.test_resume import stopped_after
from tests.training.tiny_prior import Set, train
from videogen.checkpoint import read_folder
from videogen.models import load_prior
from videogen.training.loop.monitor import BestModel, MonitoredMetric, is_better, is_overfit
from videogen.training.loop.stage import Distributed, Replaced

LOSS, QUALITY = (
    MonitoredMetric("nats", "nats", lower_is_better=True),
    MonitoredMetric("psnr", "l2", lower_is_better=False),
)
COURSE = (5.0, 3.0, 3.01, 3.5, 4.0, 4.5, 5.0, 2.0)  # validation after steps 2, 4, ...: the second is the best for long
OFTEN = FakeConfig(
    training=replace(SMALL, steps=14, log_every=1, validate_every=2, checkpoint_every=2, keep=20, sample_every=0)
)


class Memorizing(FakeStage):
    """Validation follows COURSE, while the training metric falls all the time, or rises."""

    falls = True
    step = 0

    def after_step(self, step: int, means: Mapping[str, float], distributed: Distributed) -> Replaced:
        replaced = super().after_step(step, means, distributed)
        assert isinstance(means, dict)
        self.step, means["error"] = step + 1, 1 / (1 + step) if self.falls else 1.0 + step
        return replaced

    def validate(self, distributed: Distributed) -> dict[str, float]:
        return super().validate(distributed) | {"validation_error": COURSE[self.step // 2 - 1]}


@pytest.fixture
def memorizing(monkeypatch: pytest.MonkeyPatch) -> type[Memorizing]:
    monkeypatch.setattr("tests.training.fake.FakeStage", Memorizing)
    return Memorizing


def test_best_keeps_the_best_model(memorizing: type[Memorizing], tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", OFTEN)
    assert (outcome.steps, outcome.best, outcome.best_step) == (14, tmp_path / "run" / "best", 4)
    for place, step in (("best", 4), ("model", 14)):
        weights = read_folder(tmp_path / "run" / place).tensors("network/model.safetensors")
        then = read_folder(tmp_path / f"run/checkpoints/step_{step:08}").tensors("network.average.safetensors")
        assert all(torch.equal(weights[name], tensor) for name, tensor in then.items()), place


def test_best_is_the_same_after_a_resumed_run(memorizing: type[Memorizing], tmp_path: Path) -> None:
    for step in (3, 5, 9):
        config = replace(OFTEN, training=replace(OFTEN.training, checkpoint_every=3))
        run(tmp_path / f"calm_{step}", config)
        stopped_after(tmp_path / f"stopped_{step}", step, config)
        run(tmp_path / f"stopped_{step}", config, resume=True)
        assert same_bits(tmp_path / f"calm_{step}", tmp_path / f"stopped_{step}")


def test_overfitting_fires_an_alarm_once(memorizing: type[Memorizing], tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    run(tmp_path / "run", OFTEN, on_alarm=lambda name, words: seen.append((name, words)))
    ((name, words),) = [each for each in seen if each[0] != "large"]
    assert name == "overfitting"
    assert "validation_error was 3 at step 4 and is 4.5" in words
    assert str(tmp_path / "run" / "best") in words
    rings = [line["step"] for line in lines(tmp_path / "run") if "overfitting" in line.get("alarms", [])]
    assert rings == [13, 14], "from the third validation on that was worse, which was after step 12"
    longer = replace(OFTEN, training=replace(OFTEN.training, steps=16))
    assert run(tmp_path / "run", longer, resume=True).best_step == 16
    rings = [line["step"] for line in lines(tmp_path / "run") if "overfitting" in line.get("alarms", [])]
    assert rings == [13, 14, 15, 16]


def test_a_run_whose_training_loss_rises_is_not_overfit(
    memorizing: type[Memorizing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memorizing, "falls", False)
    seen: list[str] = []
    run(tmp_path / "run", OFTEN, on_alarm=lambda name, words: seen.append(name))
    assert "overfitting" not in seen


@pytest.mark.parametrize(
    ("metric", "value", "trained", "overfit"),
    [
        (LOSS, 2.1, 0.5, True),
        (LOSS, 2.01, 0.5, False),  # chance
        (LOSS, 2.1, 1.1, False),  # worse on what it is trained on, too
        (LOSS, 1.9, 0.5, False),
        (LOSS, 2.1, None, False),
        (QUALITY, 1.9, 0.5, True),
        (QUALITY, 2.1, 0.5, False),
    ],
)
def test_what_is_overfit(metric: MonitoredMetric, value: float, trained: float | None, overfit: bool) -> None:
    best = BestModel(10, 2.0, 1.0)
    assert is_overfit(metric, value, trained, best) == overfit
    assert is_better(metric, value, best) == ((value < 2) if metric.lower_is_better else (value > 2))
    assert is_better(metric, value, None)


def test_best_is_a_model_folder(made: Set, tmp_path: Path) -> None:
    outcome = train(*made, tmp_path / "run")
    assert outcome.best is not None
    card = (outcome.best / "README.md").read_text()
    assert f"The best of its run: nats {outcome.metrics['nats']:.4g} at step {outcome.best_step}" in card
    assert load_prior(outcome.best).tokenizer.fingerprint == load_prior(tmp_path / "run").tokenizer.fingerprint
