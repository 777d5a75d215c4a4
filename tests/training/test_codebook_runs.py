"""Runs of stage one whose codebook is learned: resumed to the bit, two processes as one, and what a model holds."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.training.fake import lines
from tests.training.programs import CHECKOUT, ENVIRONMENT, last_tensors, same_bits, whole_lines
from tests.training.test_quantizer_statistics import ALONE
from tests.training.tiny import tiny_config, train
from tokenizer.quantize import VQ, MultiHeadConfig, Quantizer, Revival, VQConfig, make_quantizer
from videogen.checkpoint import read_folder
from videogen.errors import UsageError
from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
from videogen.models import load_tokenizer
from videogen.training.estimate.machine import find_machine
from videogen.training.records.run_folder import steps_in
from videogen.training.tokenizer.dry_run import dry_run
from videogen.training.tokenizer.quantizer_statistics import QuantizerStatistics
from videogen.training.tokenizer.run import run_tokenizer
from videogen.training.tokenizer.stage import TokenizerStage


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    train(data, folder, quantizer="vq", log_every=1, checkpoint_every=1, keep=20)
    return folder


@pytest.mark.parametrize("step", [1, 2, 4, 7])
def test_resumed_after_any_step(data: Path, unbroken: Path, tmp_path: Path, step: int) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    for later in steps_in(tmp_path / "run/checkpoints"):
        if later > step:
            shutil.rmtree(tmp_path / f"run/checkpoints/step_{later:08}")
    train(data, tmp_path / "run", resume=True, quantizer="vq", log_every=1, checkpoint_every=1, keep=20)
    assert same_bits(unbroken, tmp_path / "run")


def test_a_temperature_and_its_noise_are_resumed(data: Path, tmp_path: Path) -> None:
    settings = {"quantizer": "soft_vq", "log_every": 1, "checkpoint_every": 1, "keep": 20}
    train(data, tmp_path / "calm", **settings)  # type: ignore[arg-type]
    shutil.copytree(tmp_path / "calm", tmp_path / "run")
    for later in steps_in(tmp_path / "run/checkpoints")[3:]:
        shutil.rmtree(tmp_path / f"run/checkpoints/step_{later:08}")
    train(data, tmp_path / "run", resume=True, **settings)  # type: ignore[arg-type]
    assert same_bits(tmp_path / "calm", tmp_path / "run")
    temperatures = [line["temperature"] for line in lines(tmp_path / "calm") if "temperature" in line]
    assert temperatures[:3] == sorted(temperatures[:3], reverse=True)
    assert len(set(temperatures)) > 3


def test_dry_run(data: Path) -> None:
    facts, _ = dry_run(tiny_config(data, "vq"), find_machine("cpu"))
    assert facts["codes"].startswith("64 ")


def test_codes_that_are_never_found_raise_an_alarm(data: Path) -> None:
    config = tiny_config(data, "vq")
    quantizer = replace(config.tokenizer.quantizer, first_samples=10**6)  # type: ignore[call-arg]
    config = replace(config, tokenizer=replace(config.tokenizer, quantizer=quantizer))
    means = {"perplexity": 60.0, "tokens": 64.0, "variance": 1.0, "clip_variance": 1.0}
    waiting = TokenizerStage(config, None).alarms(60, means)["first codes"]  # type: ignore[arg-type]
    assert waiting is not None
    assert "first_samples" in waiting
    assert TokenizerStage(tiny_config(data), None).alarms(60, means)["first codes"] is None  # type: ignore[arg-type]


def test_the_codebook_is_found_moved_and_revived(unbroken: Path) -> None:
    """So that the tests of resuming have something to lose."""
    codebooks = []
    for step in steps_in(unbroken / "checkpoints"):
        tensors = read_folder(unbroken / f"checkpoints/step_{step:08}").tensors("tokenizer.weights.safetensors")
        codebooks.append(tensors["quantizer.codebook"])
    moved = [int((after != before).any(1).sum()) for before, after in pairwise(codebooks)]
    assert 64 in moved, "k-means places all codes at once"
    assert any(0 < count < 64 for count in moved)
    assert tensors["quantizer.learning.reviver.seen"] > 0
    assert moved[-1] == 0, "the last phase trains the decoder alone"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6])
def test_killed_at_random_moments_equals_never_stopped(data: Path, unbroken: Path, tmp_path: Path, kills: int) -> None:
    settings, killed = ["quantizer=vq", "log_every=1", "checkpoint_every=1", "keep=20"], tmp_path / "killed"
    command = [sys.executable, "-m", "tests.training.tiny", str(data), str(killed), *settings]
    for target in range(1, kills + 1):
        process = subprocess.Popen(command, cwd=CHECKOUT, env=ENVIRONMENT)
        while whole_lines(killed) < target and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=CHECKOUT, env=ENVIRONMENT).returncode == 0
    assert same_bits(unbroken, killed)


@pytest.mark.slow
def test_two_processes_learn_one_codebook(data: Path, tmp_path: Path) -> None:
    settings = ["quantizer=vq", "steps=1", "accumulation=1"]
    train(data, tmp_path / "one", quantizer="vq", steps=1, accumulation=1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "-m", "tests.training.tiny", str(data), str(tmp_path / "two"), *settings]
    finished = subprocess.run(command, cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    one, two = (last_tensors(tmp_path / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        if ".learning." in name or name.endswith("codebook"):
            torch.testing.assert_close(two[name].double(), one[name].double(), atol=1e-5, rtol=1e-5)


def test_a_model_holds_the_averaged_codebook_and_nothing_of_training(unbroken: Path) -> None:
    tensors = last_tensors(unbroken)
    model = {name: tensor for name, tensor in tensors.items() if name.startswith("model/") and "quantizer" in name}
    ((name, codebook),) = model.items()
    assert name.endswith("quantizer.codebook")
    (average,) = (t for name, t in tensors.items() if name.endswith("tokenizer.average.safetensors/quantizer.codebook"))
    assert torch.equal(codebook, average)
    assert not any("learning" in name for name in tensors if "average" in name)


def test_an_exported_model_keeps_the_laws(unbroken: Path) -> None:
    tokenizer = load_tokenizer(unbroken)
    verdicts = check_tokenizer_laws(tokenizer, seed=0)
    assert [verdict.law for verdict in verdicts if not verdict.held] == []
    assert tokenizer.network.quantizer.codebooks == (64,)
    assert sum(line["kind"] == "validation" for line in lines(unbroken)) > 0


def test_another_run_starts_from_the_model(data: Path, unbroken: Path, tmp_path: Path) -> None:
    config = tiny_config(data, "vq", steps=1, validate_every=0)
    config = replace(config, init_from=unbroken, optimizer=replace(config.optimizer, learning_rate=1e-9))
    run_tokenizer(config, tmp_path / "run", False)
    before, after = (
        next(t for name, t in last_tensors(folder).items() if name.endswith("model.safetensors/quantizer.codebook"))
        for folder in (unbroken, tmp_path / "run")
    )
    torch.testing.assert_close(after, before, atol=0.05, rtol=0)


@contextmanager
def sharded(quantizer: Quantizer) -> Iterator[QuantizerStatistics]:
    quantizer.begin_training()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        fully_shard(quantizer, mesh=init_device_mesh("cpu", (1,)))
        yield QuantizerStatistics(quantizer)
    finally:
        dist.destroy_process_group()


def test_a_sharded_codebook_cannot_be_placed_anew() -> None:
    with sharded(VQ(VQConfig(16, 4, learning="gradient", revival=Revival(every=1)))) as statistics:
        statistics.collect(0, {"counts": torch.ones(16)})
        with pytest.raises(UsageError, match="FSDP"):
            statistics.apply(0, ALONE)


def test_codebooks_that_are_whole_are_moved_beside_maps_that_are_sharded() -> None:
    quantizer = make_quantizer(MultiHeadConfig(VQConfig(16, 4), dim=8, heads=2))
    before = quantizer.leaves[0].codebook.clone()  # type: ignore[operator, union-attr]
    with sharded(quantizer) as statistics:
        moved = {"counts": torch.ones(16), "sums": torch.ones(16, 4)}
        statistics.collect(0, {f"heads.{head}.{name}": value for head in (0, 1) for name, value in moved.items()})
        statistics.apply(0, ALONE)
        assert (quantizer.leaves[0].codebook != before).all()
