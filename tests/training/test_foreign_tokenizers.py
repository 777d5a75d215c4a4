"""A public tokenizer goes the way of our own: trained on, tokens of clips, a prior on them, streams."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prior.config import PriorShape
from tests.tokenizer.foreign import cosmos, emu3
from tests.training.fake import lines
from tests.training.tiny import tiny_config
from tokenizer.foreign import FOREIGN
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.conditioning import BPEConfig
from videogen.models import load_tokenizer, tokenizer_files
from videogen.pipeline import VideoPipeline
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig, TokenDataConfig
from videogen.training.prior.run import run_prior
from videogen.training.tokenizer.run import run_tokenizer


@pytest.fixture(scope="module")
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder made of published tensors of the kind that a test is about."""
    kind, options = str(request.param), dict[str, str]()
    if kind == "cosmos":
        source, options = cosmos.published(cosmos.cosmos_model(cosmos.small_cosmos())), {"window": "3"}
    else:
        source = emu3.published(emu3.emu3_model(emu3.SMALL))
    foreign = FOREIGN[kind]
    config = foreign.config(source, options)
    folder = tmp_path_factory.mktemp("converted") / kind
    files = tokenizer_files(config, ClipSpec(16, 16, 8.0, 9), foreign.weights(source, config), "# a test's")
    write_folder(folder, files)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two more steps of it, with a discriminator from the first on."""
    folder, config = tmp_path_factory.mktemp("trained") / "run", tiny_config(data, steps=2, checkpoint_every=2)
    adversarial = replace(config.loss.adversarial, start_step=0)
    training = replace(
        config,
        tokenizer=load_tokenizer(converted).config,
        init_from=converted,
        phases=config.phases[:1],
        loss=replace(config.loss, adversarial=adversarial),
    )
    run_tokenizer(training, folder, resume=False)
    return folder


@pytest.mark.parametrize("converted", ["cosmos"], indirect=True)
def test_it_is_trained_on(converted: Path, trained: Path) -> None:
    before, after = load_tokenizer(converted), load_tokenizer(trained)
    assert after.config == before.config
    steps = [line for line in lines(trained) if line["kind"] == "train"]
    assert steps
    assert all(np.isfinite(line["l1"]) for line in steps)
    old, new = before.network.state_dict(), after.network.state_dict()
    for part in ("encoder.", "decoder."):
        assert any(not torch.equal(old[name], new[name]) for name in old if name.startswith(part))


@pytest.mark.parametrize("converted", ["cosmos", "emu3"], indirect=True)
def test_a_prior_on_its_tokens_makes_streams(data: Path, converted: Path, tmp_path: Path) -> None:
    assert main(["encode", str(data), str(tmp_path / "tokens"), "--model", str(converted), "--quiet"]) == 0
    training = PriorTrainingConfig(
        data=TokenDataConfig(train=tmp_path / "tokens", validation_share=0.3, validation_clips=2),
        phases=(PriorPhaseConfig(from_step=0, frames=2),),
        prior=PriorShape(width=24, layers=2, window=2, heads=2, kv_heads=1, hidden=32, objective="masked"),
        text=BPEConfig(vocabulary=300, length=24),
        teaching=TeachingConfig(),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup=1, schedule="constant"),
        training=TrainingConfig(steps=1, batch_size=2, sample_every=0, validate_every=0, checkpoint_every=1),
    )
    run_prior(training, converted, tmp_path / "run", resume=False)
    pipe = VideoPipeline.from_pretrained(tmp_path / "run")
    video = pipe("a red ring", generator=5, num_frames=11, steps=2, output_type="uint8").frames[0]
    assert video.shape == (11, 16, 16, 3)
    assert np.array_equal(np.stack(list(pipe.stream("a red ring", generator=5, num_frames=11, steps=2))), video)
