"""Runs that distil a prior: student and critic are trained, stopped, resumed and exported."""

import shutil
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prior.head_config import ChainConfig, FlatConfig, FlowConfig, HeadConfig
from sampling.config import SamplerConfig
from tests.tokens.conftest import make_model
from tests.training.fake import lines
from tests.training.programs import same_bits
from tests.training.tiny_prior import Set, tiny_config, train
from videogen.errors import UsageError
from videogen.models import load_prior, load_tokenizer
from videogen.pipeline import VideoPipeline
from videogen.tokens import TokenSet
from videogen.training.loop.stage import Distributed
from videogen.training.prior.batches import TokenBatches
from videogen.training.prior.config import DistillationConfig, PriorTrainingConfig
from videogen.training.prior.distillation import DistillationStage, second_stream
from videogen.training.prior.run import load_text


@pytest.fixture(scope="module")
def teacher(made: Set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("teacher") / "run"
    train(*made, run, steps=2)
    return run


def student_config(made: Set, teacher: Path, **changes: Any) -> PriorTrainingConfig:
    config = tiny_config(made[1])
    shape = replace(config.prior, mask_noise=4)
    distillation = DistillationConfig(teacher=teacher, proposals=2, reverse=0.2)
    return replace(config, prior=shape, init_from=teacher, distillation=replace(distillation, **changes))


def test_a_run_makes_a_model_that_is_resumed_to_the_bit(made: Set, teacher: Path, tmp_path: Path) -> None:
    config = student_config(made, teacher)
    train(*made, tmp_path / "whole", config=config, steps=6)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / f"step_{step:08}")
    train(*made, tmp_path / "resumed", resume=True, config=config, steps=6)
    assert same_bits(tmp_path / "whole", tmp_path / "resumed")
    last = lines(tmp_path / "whole")[-1]
    assert np.isfinite(last["teacher_nats"])
    assert {"critic_nats", "divergence"} <= {name for line in lines(tmp_path / "whole") for name in line}
    student = load_prior(tmp_path / "whole")
    assert student.config.mask_noise == 4
    pipe = VideoPipeline.from_pretrained(tmp_path / "whole")
    video = pipe("caption 1", num_frames=6, generator=3, steps=2, output_type="uint8").frames
    assert np.array_equal(video, pipe("caption 1", num_frames=6, generator=3, steps=2, output_type="uint8").frames)
    assert np.array_equal(np.stack(list(pipe.stream("caption 1", num_frames=6, generator=3, steps=2))), video[0])


def stage_of(made: Set, config: PriorTrainingConfig, folder: Path) -> DistillationStage:
    batches = TokenBatches(config, TokenSet.open(made[1]), None)
    stage = DistillationStage(config, batches, load_tokenizer(made[0]), load_text(config, batches, folder, "cpu"))
    for trained in stage.trained_modules.values():
        assert trained.init_weights is not None
        trained.module.load_state_dict(trained.init_weights())
    return stage


def test_a_student_that_is_its_teacher_has_nothing_to_learn(made: Set, teacher: Path, tmp_path: Path) -> None:
    """Unguided, with the critic's first weights: both distributions are the same at every token."""
    stage = stage_of(made, student_config(made, teacher, guidance=False), tmp_path)
    batch = next(stage.batches({}, 0, 1, 0, 1))
    inputs = stage.inputs(batch, torch.device("cpu"))
    student = stage.student_frames(inputs)
    assert torch.equal(torch.stack(student.revealed).sum(0), torch.ones(inputs.spec.tokens, dtype=torch.int64))
    again = inputs._replace(targets=student.codes, mask_noise=None)
    for one, other in zip(
        stage.teacher_readings(again),
        stage.critic.head.readings(stage.critic.features(again), student.codes),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_the_second_proposal_knows_the_tokens_of_the_first(made: Set, teacher: Path, tmp_path: Path) -> None:
    stage = stage_of(made, student_config(made, teacher), tmp_path)
    inputs = stage.inputs(next(stage.batches({}, 0, 1, 0, 1)), torch.device("cpu"))
    student = stage.student_frames(inputs)
    first = student.revealed[0].expand(inputs.targets.shape[:3])
    codes = torch.where(first.unsqueeze(-1), student.codes, 0)
    again = stage.network.features(inputs._replace(targets=codes, known=first))
    assert torch.equal(again, student.features[1])


def test_guidance_is_that_of_the_teachers_sampler(made: Set, teacher: Path, tmp_path: Path) -> None:
    """All masked is the first step, where a rising guidance is 1; little masked is near its end."""
    stage = stage_of(made, student_config(made, teacher), tmp_path)
    stage.guidance = replace(stage.guidance, guidance_scale=5.0, guidance_schedule="linear")
    batch = stage.inputs(next(stage.batches({}, 0, 1, 0, 1)), torch.device("cpu"))
    for known, scale in ((False, 1.0), (True, 5.0)):
        inputs = batch._replace(known=torch.full_like(batch.known, known))
        with_text = readings_of(stage, inputs)
        assert inputs.text is not None
        without = readings_of(stage, inputs._replace(text=inputs.text.without(torch.ones(len(batch.targets)).bool())))
        for guided, own, other in zip(stage.teacher_readings(inputs), with_text, without, strict=True):
            torch.testing.assert_close(guided, other + scale * (own - other))


def test_guidance_keeps_to_its_interval_and_drops_what_the_sampler_drops(
    made: Set, teacher: Path, tmp_path: Path
) -> None:
    stage = stage_of(made, student_config(made, teacher), tmp_path)
    batch = stage.inputs(next(stage.batches({}, 0, 1, 0, 1)), torch.device("cpu"))
    batch = batch._replace(known=torch.zeros_like(batch.known))
    plain = readings_of(stage, batch)
    for settings, guided in (({}, True), ({"guidance_start": 0.5}, False), ({"guidance_drops": "control"}, False)):
        stage.guidance = SamplerConfig(guidance_scale=5.0, **settings)  # type: ignore[arg-type]
        pairs = zip(stage.teacher_readings(batch), plain, strict=True)
        assert any((one - other).abs().max() > 1e-4 for one, other in pairs) == guided
    controlled = batch._replace(control=torch.ones(batch.targets.shape[:2], dtype=torch.int64))
    for drops, text, control in (("text", False, True), ("control", True, False), ("both", False, False)):
        second = second_stream(controlled, replace(stage.guidance, guidance_drops=drops))  # type: ignore[arg-type]
        assert second is not None
        assert second.text is not None
        assert second.control is not None
        assert (bool(second.text.mask.any()), bool((second.control >= 0).any())) == (text, control)


def test_the_critic_learns_whole_tokens_with_every_head(made: Set, tmp_path: Path) -> None:
    """One softmax over all combinations of codes has one output for several codes."""
    heads: tuple[HeadConfig, ...] = (ChainConfig(), FlatConfig())
    for head in heads:
        place = tmp_path / head.kind
        plain = tiny_config(made[1])
        train(*made, place, config=replace(plain, prior=replace(plain.prior, head=head)), steps=1)
        config = student_config(made, place)
        stage = stage_of(made, replace(config, prior=replace(config.prior, head=head)), tmp_path)
        with closing(stage.batches({}, 0, 1, 0, 1)) as batches:
            batch = next(batches)
        cpu = torch.device("cpu")
        modules = {name: trained.module for name, trained in stage.trained_modules.items()}
        same, lists = (lambda tensor: tensor), (lambda value: [value])
        alone = Distributed(modules, lambda name: nullcontext(torch.nn.Identity()), same, lists, cpu, 0, 1, False)
        torch.manual_seed(5)
        found = next(stage.losses(batch, 0, alone))
        torch.manual_seed(5)
        inputs = stage.inputs(batch, cpu)
        codes = stage.student_frames(inputs).codes
        assert codes.shape[-1] > 1
        loss = stage.critic(inputs._replace(targets=codes, mask_noise=None)).loss
        torch.testing.assert_close(found.loss, loss[batch.predicted].mean())
    with pytest.raises(UsageError, match="head is chain; this configuration has flat"):
        stage_of(made, replace(stage.config, distillation=DistillationConfig(teacher=tmp_path / "chain")), tmp_path)


def readings_of(stage: DistillationStage, inputs: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = stage.teacher.head.readings(stage.teacher.features(inputs), inputs.targets)
    return found


def test_mistakes_are_one_line_before_anything_is_trained(made: Set, teacher: Path, tmp_path: Path) -> None:
    config = student_config(made, teacher)
    with pytest.raises(ValueError, match="distillation needs init_from"):
        replace(config, init_from=None)
    with pytest.raises(ValueError, match="distillation needs prior"):
        replace(tiny_config(made[1], "autoregressive"), init_from=teacher, distillation=config.distillation)
    with pytest.raises(UsageError, match="proposals is 500; a latent frame has"):
        train(*made, tmp_path / "run", config=student_config(made, teacher, proposals=500))
    with pytest.raises(ValueError, match=r"head flow has none"):
        replace(config, prior=replace(config.prior, head=FlowConfig()))
    for settings, said in (({"proposals": 0}, "proposals = 0"), ({"reverse": 1.5}, "reverse = 1.5")):
        with pytest.raises(ValueError, match=said):
            DistillationConfig(teacher=teacher, **settings)  # type: ignore[arg-type]
    train(make_model(tmp_path / "other", seed=1).path, *encoded(tmp_path), tmp_path / "foreign", steps=1)
    with pytest.raises(UsageError, match="tokens of another tokenizer"):
        train(*made, tmp_path / "run", config=student_config(made, tmp_path / "foreign"))
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def encoded(folder: Path) -> tuple[Path]:
    from tests.tokens.conftest import make_videos
    from videogen.data import build_index
    from videogen.tokens import encode

    index = build_index(make_videos(folder / "videos", (9, 13, 17, 9, 13, 17)), workers=1)
    encode(index, folder / "tokens", load_tokenizer(folder / "other"))
    return (folder / "tokens",)
