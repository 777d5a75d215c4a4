"""Runs whose latents are aligned with a frozen vision model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.fake import lines
from tests.training.programs import same_bits
from tests.training.tiny import tiny_config
from tests.training.vision import save_vision
from tokenizer.losses.alignment import AlignmentConfig
from videogen.checkpoint import read_folder
from videogen.errors import UsageError
from videogen.models import load_tokenizer
from videogen.training.estimate.machine import find_machine
from videogen.training.records.run_folder import steps_in
from videogen.training.tokenizer.config import TokenizerTrainingConfig
from videogen.training.tokenizer.dry_run import dry_run
from videogen.training.tokenizer.run import run_tokenizer
from videogen.training.tokenizer.stage import ALIGNMENT, TokenizerStage


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vision(tmp_path_factory.mktemp("vision") / "vit")


def aligned(data: Path, alignment: AlignmentConfig | None, **training: int) -> TokenizerTrainingConfig:
    config = tiny_config(data, **training)
    return replace(config, loss=replace(config.loss, alignment=alignment))


@pytest.mark.parametrize("on", ["latents", "quantized"])
def test_an_interrupted_run_resumes_to_the_bit(data: Path, vision: Path, tmp_path: Path, on: str) -> None:
    alignment = AlignmentConfig(vision, on=on)  # type: ignore[arg-type]
    run_tokenizer(aligned(data, alignment), tmp_path / "whole", resume=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    newest = steps_in(tmp_path / "cut" / "checkpoints")[-1]
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / f"step_{newest:08}")
    run_tokenizer(aligned(data, alignment), tmp_path / "cut", resume=True)
    assert same_bits(tmp_path / "whole", tmp_path / "cut")
    logged = [line["step"] for line in lines(tmp_path / "whole") if "alignment" in line]
    assert logged == [2, 4, 6, 8], "not where the encoder is frozen (from step 7 on; step 8 is the mean of 7 and 8)"


def test_checkpoints_have_the_head_and_models_do_not(data: Path, vision: Path, tmp_path: Path) -> None:
    run_tokenizer(aligned(data, AlignmentConfig(vision), steps=2), tmp_path / "run", resume=False)
    run_tokenizer(aligned(data, None, steps=2), tmp_path / "plain", resume=False)
    checkpoint = read_folder(tmp_path / "run" / "checkpoints" / "step_00000002")
    assert "layers.0.weight" in checkpoint.tensors(f"{ALIGNMENT}.weights.safetensors")
    assert not [name for name in checkpoint.hashes if "vision" in name]
    models = [load_tokenizer(tmp_path / name).network.state_dict() for name in ("run", "plain")]
    assert models[0].keys() == models[1].keys()
    assert any(not torch.equal(models[0][name], models[1][name]) for name in models[0] if name.startswith("encoder."))


def test_without_a_folder_a_run_is_as_without_alignment(data: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    off = aligned(data, AlignmentConfig(None), steps=2)
    run_tokenizer(off, tmp_path / "off", resume=False, on_note=notes.append)
    assert notes[-1] == "alignment: off, no folder is named"
    run_tokenizer(aligned(data, None, steps=2), tmp_path / "plain", resume=False, on_note=notes.append)
    assert notes.count("alignment: off, no folder is named") == 1
    models = [(tmp_path / name / "model" / "tokenizer" / "model.safetensors") for name in ("off", "plain")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_run_from_before_alignment_is_resumed(data: Path, tmp_path: Path) -> None:
    run_tokenizer(aligned(data, None, steps=2), tmp_path / "run", resume=False)
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    del config["loss"]["alignment"]
    file.write_text(json.dumps(config))
    assert run_tokenizer(aligned(data, None, steps=3), tmp_path / "run", resume=True).steps == 3


@pytest.mark.slow
def test_a_folder_without_a_model_stops_before_anything_begins(data: Path, tmp_path: Path) -> None:
    config = aligned(data, AlignmentConfig(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="no such folder"):
        run_tokenizer(config, tmp_path / "run", resume=False)
    assert not (tmp_path / "run" / "config.json").exists()
    with pytest.raises(UsageError, match="no such folder"):
        dry_run(config, find_machine("cpu"))


def test_the_gradient_reaches_the_encoder_and_not_the_vision_model(data: Path, vision: Path, tmp_path: Path) -> None:
    stage = TokenizerStage(aligned(data, AlignmentConfig(vision)), None)  # type: ignore[arg-type]
    clip = torch.rand(2, 3, 5, 16, 16) * 2 - 1
    pairs = stage.alignment_pairs(clip, stage.network(clip), step=0)
    assert pairs is not None
    stage.trained_modules[ALIGNMENT].module(pairs.latents).sum().backward()
    assert all(parameter.grad is not None for parameter in stage.network.encoder.parameters())
    assert stage.vision is not None
    assert all(parameter.grad is None for parameter in stage.vision.network.parameters())
    assert stage.alignment_pairs(clip, stage.network(clip), step=7) is None, "the encoder is frozen"
