"""Runs that train mask noise with a posterior: gradients, costs, runs that are stopped and resumed, and mistakes."""

import shutil
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prior.head_config import FlowConfig
from prior.posterior import NoiseDistribution
from tests.training.fake import lines
from tests.training.programs import same_bits
from tests.training.tiny_prior import Set, tiny_config, train
from videogen.errors import UsageError
from videogen.models import load_prior, load_tokenizer
from videogen.pipeline import VideoPipeline
from videogen.tokens import TokenSet
from videogen.training.loop.stage import Distributed, init_weights
from videogen.training.prior.batches import TokenBatch, TokenBatches
from videogen.training.prior.config import DistillationConfig, PriorTrainingConfig, VariationalConfig
from videogen.training.prior.run import load_text
from videogen.training.prior.stage import some_tokens
from videogen.training.prior.variational import VariationalStage, repeated, true_frames

CPU = torch.device("cpu")


def variational_config(made: Set, **changes: Any) -> PriorTrainingConfig:
    config = tiny_config(made[1])
    given = {"proposals": 2, "noise_warmup": 3, **changes}
    return replace(config, prior=replace(config.prior, mask_noise=4), variational=VariationalConfig(**given))


@pytest.fixture
def stage(made: Set, tmp_path: Path) -> VariationalStage:
    torch.manual_seed(0)
    config = variational_config(made)
    batches = TokenBatches(config, TokenSet.open(made[1]), None)
    return VariationalStage(config, batches, load_tokenizer(made[0]), load_text(config, batches, tmp_path, "cpu"))


@pytest.fixture
def batch(stage: VariationalStage) -> Iterator[TokenBatch]:
    with closing(stage.batches({}, 0, 2, 0, 1)) as batches:
        yield next(batches)


def alone(stage: VariationalStage) -> Distributed:
    modules = {name: trained.module for name, trained in stage.trained_modules.items()}
    same, lists = (lambda tensor: tensor), (lambda value: [value])
    return Distributed(modules, lambda name: nullcontext(torch.nn.Identity()), same, lists, CPU, 0, 1, False)


def gradients(stage: VariationalStage) -> list[Tensor]:
    found = []
    for trained in stage.trained_modules.values():
        for parameter in trained.module.parameters():
            found.append(torch.zeros(()) if parameter.grad is None else parameter.grad.clone())
            parameter.grad = None
    return found


def test_the_two_losses_have_the_gradients_of_their_sum(stage: VariationalStage, batch: TokenBatch) -> None:
    """With accumulation 2 the loop halves each loss, and what is passed on must not be halved twice."""
    step, distributed = 1, alone(stage)
    torch.manual_seed(5)
    for output in stage.losses(batch, step, distributed):
        (output.loss / 2).backward()
    in_two = gradients(stage)
    torch.manual_seed(5)
    inputs = stage.with_rollouts(batch, step, distributed)
    noise: NoiseDistribution = stage.posterior(inputs)
    tokens = stage.token_nats(inputs, noise.sample(), distributed)
    counted = batch.predicted.any(-1)
    weight = stage.variational.noise_weight_at(step)
    assert 0 < weight < 1
    ((tokens + weight * noise.nats())[counted].mean() / 2).backward()
    for one, other in zip(in_two, gradients(stage), strict=True):
        torch.testing.assert_close(one, other)
    assert any(gradient.any() for gradient in in_two)


def test_a_token_costs_what_its_proposal_gives_it(stage: VariationalStage, batch: TokenBatch) -> None:
    inputs, distributed = stage.inputs(batch, CPU), alone(stage)
    noise = torch.randn(*inputs.targets.shape[:3], 4)
    found = stage.token_nats(inputs, noise, distributed)
    before = torch.zeros_like(stage.revealed[0])
    for revealed in stage.revealed:
        known = before.expand(inputs.targets.shape[:3])
        nats = stage.network(inputs._replace(known=known, mask_noise=noise)).nats
        torch.testing.assert_close(found[..., revealed], nats[..., revealed])
        before = before | revealed
    assert before.all()


def test_clips_are_repeated_with_all_that_belongs_to_them(stage: VariationalStage, batch: TokenBatch) -> None:
    inputs = stage.inputs(batch, CPU)
    twice, count = repeated(inputs, 2), len(inputs.targets)
    for copy in (slice(None, count), slice(count, None)):
        assert torch.equal(twice.targets[copy], inputs.targets)
        assert torch.equal(twice.clean[copy], inputs.clean)
        assert torch.equal(twice.noise_B[copy], inputs.noise_B)
        assert twice.text is not None
        assert inputs.text is not None
        assert torch.equal(twice.text.mask[copy], inputs.text.mask)


def test_the_weight_of_noise_rises_to_its_own() -> None:
    config = VariationalConfig(noise_weight=0.5, noise_warmup=10)
    weights = [config.noise_weight_at(step) for step in range(20)]
    assert weights == sorted(weights)
    assert 0 < weights[0] < 0.01
    assert weights[9:] == [0.5] * 11
    assert VariationalConfig(noise_warmup=0).noise_weight_at(0) == 1


def test_a_run_makes_a_model_that_is_resumed_to_the_bit(made: Set, tmp_path: Path) -> None:
    train(*made, tmp_path / "first", steps=2)
    config = replace(variational_config(made), init_from=tmp_path / "first")
    train(*made, tmp_path / "whole", config=config, steps=6)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / f"step_{step:08}")
    train(*made, tmp_path / "resumed", resume=True, config=config, steps=6)
    assert same_bits(tmp_path / "whole", tmp_path / "resumed")
    last = lines(tmp_path / "whole")[-1]
    assert last["nats"] == pytest.approx(last["token_nats"] + last["noise_nats"])
    assert np.isfinite(last["nats_with_plain_noise"])
    assert load_prior(tmp_path / "whole").config.mask_noise == 4
    pipe = VideoPipeline.from_pretrained(tmp_path / "whole")
    video = pipe("caption 1", num_frames=6, generator=3, steps=2, output_type="uint8").frames
    assert np.array_equal(np.stack(list(pipe.stream("caption 1", num_frames=6, generator=3, steps=2))), video[0])


def test_both_networks_begin_as_the_first_prior(made: Set, tmp_path: Path) -> None:
    train(*made, tmp_path / "first", steps=2)
    config = replace(variational_config(made), init_from=tmp_path / "first")
    batches = TokenBatches(config, TokenSet.open(made[1]), None)
    stage = VariationalStage(config, batches, load_tokenizer(made[0]), load_text(config, batches, tmp_path, "cpu"))
    init_weights(stage.trained_modules)
    first = load_prior(tmp_path / "first").network.state_dict()
    assert first
    for name, weights in first.items():
        assert torch.equal(stage.network.state_dict()[name], weights)
        if not name.startswith("head."):
            assert torch.equal(stage.posterior.network.state_dict()[name], weights)
    codes = some_tokens(batches.windows[0])[:, None]
    mean = stage.posterior(true_frames(codes, batches.spec, None, None)).mean.flatten(0, 2)
    torch.testing.assert_close(mean.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(mean.var(0, correction=0), torch.ones(4), rtol=1e-3, atol=0)


def test_mistakes_are_one_line_before_anything_is_trained(made: Set, tmp_path: Path) -> None:
    config = variational_config(made)
    shape = config.prior
    for changes, said in (
        ({"prior": replace(shape, mask_noise=0)}, r"set prior\.mask_noise"),
        ({"prior": replace(shape, head=FlowConfig())}, "head flow has none"),
        ({"distillation": DistillationConfig(teacher=tmp_path), "init_from": tmp_path}, "exclude each other"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(config, **changes)  # type: ignore[arg-type]
    for settings, said in (
        ({"proposals": 0}, "proposals = 0"),
        ({"noise_weight": 0.0}, "noise_weight = 0"),
        ({"noise_warmup": -1}, "noise_warmup = -1"),
    ):
        with pytest.raises(ValueError, match=said):
            VariationalConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="proposals is 500; a latent frame has"):
        train(*made, tmp_path / "run", config=variational_config(made, proposals=500))
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
