"""Runs of stage one whose quantizer is made of others: resumed to the bit, in two processes, and as a model."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.fake import lines
from tests.training.programs import CHECKOUT, ENVIRONMENT, last_tensors, same_bits
from tests.training.tiny import train
from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
from videogen.models import load_tokenizer
from videogen.training.records.run_folder import steps_in

CODEBOOKS = [f"quantizer.heads.{head}.levels.{level}.codebook" for head in range(2) for level in range(3)]


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    train(data, folder, quantizer="composed", log_every=1, checkpoint_every=1, keep=20)
    return folder


@pytest.mark.parametrize("step", [1, 5])
def test_resumed_after_any_step(data: Path, unbroken: Path, tmp_path: Path, step: int) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    for later in steps_in(tmp_path / "run/checkpoints"):
        if later > step:
            shutil.rmtree(tmp_path / f"run/checkpoints/step_{later:08}")
    train(data, tmp_path / "run", resume=True, quantizer="composed", log_every=1, checkpoint_every=1, keep=20)
    assert same_bits(unbroken, tmp_path / "run")


@pytest.mark.slow
def test_two_processes_with_draws_of_their_own_finish(data: Path, tmp_path: Path) -> None:
    settings = ["quantizer=composed", "steps=2", "accumulation=1"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "-m", "tests.training.tiny", str(data), str(tmp_path / "two"), *settings]
    finished = subprocess.run(command, cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    tensors = last_tensors(tmp_path / "two")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point())


def test_the_log_and_the_model_know_every_codebook(unbroken: Path) -> None:
    logged = next(line for line in lines(unbroken) if line["kind"] == "train")
    assert {"commitment", "redundancy", "left_after_1", "left_after_3"} <= logged.keys()
    tensors = last_tensors(unbroken)
    model = {name.rpartition("/")[2] for name in tensors if name.startswith("model/") and "quantizer" in name}
    assert model == {*CODEBOOKS, "quantizer.views.weight", "quantizer.join.weight"}


def test_an_exported_model_keeps_the_laws(unbroken: Path) -> None:
    tokenizer = load_tokenizer(unbroken)
    verdicts = check_tokenizer_laws(tokenizer, seed=0)
    assert [verdict.law for verdict in verdicts if not verdict.held] == []
    assert tokenizer.network.quantizer.codebooks == (16,) * 6
