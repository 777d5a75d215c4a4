"""Two processes equal one: the same losses for the same global batch to rounding, and resumed to the bit."""

import copy
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import PriorConfig
from prior.laws import random_batch
from prior.model import LlamaPrior
from tests.training.fake import SMALL, FakeConfig, lines, run
from tests.training.programs import last_tensors, run_in_processes, same_bits
from videogen.errors import UsageError
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.distributed import data_device, processes, reduce_in_float32
from videogen.training.loop.module_state import compile_in_place, full_tensor, prepare_module, register_fsdp_methods
from videogen.training.loop.stage import TrainedModule
from videogen.training.loop.train import reproducible

SPEC = TokenSpec(codebooks=(8, 5, 5, 5), groups=(TokenGroup("tokens", (2, 3)),), frames_per_latent=4)
PRIOR = PriorConfig(
    width=16, layers=2, heads=2, kv_heads=1, hidden=24, window=2, objective="masked", spec=SPEC, context=None
)
QUIET = FakeConfig(noise=False)  # each process draws its own noise, so there must be none to compare with one process


def test_accumulation_changes_nothing_but_rounding(tmp_path: Path) -> None:
    run(tmp_path / "two", QUIET)
    run(tmp_path / "one", replace(QUIET, training=replace(SMALL, accumulation=1)))
    assert_alike(tmp_path / "one", tmp_path / "two")


def assert_alike(a: Path, b: Path) -> None:
    here, there = lines(a), lines(b)
    assert [sorted(line) for line in here] == [sorted(line) for line in there]
    for one, two in zip(here, there, strict=True):
        for name in one.keys() - {"kind", "alarms"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), (one["step"], name)
    for name, tensor in last_tensors(a).items():
        if "optimizer" not in name:
            assert last_tensors(b)[name].double().numpy() == pytest.approx(tensor.double().numpy(), abs=1e-5), name


def test_accumulation_of_the_launcher_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    weight = torch.ones((), requires_grad=True)
    with processes(bf16=False) as (accelerator, _):
        accelerator.backward(3 * weight)
    assert weight.grad == 3


def test_compiling_by_accelerate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    with pytest.raises(UsageError, match=r"dynamo backend inductor.*training\.compile"), processes(bf16=False):
        pass


def test_data_device_is_the_gpu_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert data_device() == "cpu" or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert data_device() == "cuda:0"
    assert not torch.backends.cudnn.allow_tf32, "ids would differ from those that `videogen encode` makes"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert data_device() == "cuda:3"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert data_device() == "cpu"


def test_each_shape_is_compiled_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: seen.append(options))
    with torch._dynamo.config.patch(recompile_limit=8):  # a monkeypatch would delete it afterwards
        compile_in_place(torch.nn.Linear(1, 1))
        assert seen == [{"dynamic": False}]
        assert torch._dynamo.config.recompile_limit >= 64


def test_deterministic_training_avoids_nondeterministic_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    backends: Any = torch.backends.cuda

    def state() -> tuple[bool, ...]:
        attention = backends.flash_sdp_enabled(), backends.mem_efficient_sdp_enabled(), backends.cudnn_sdp_enabled()
        return *attention, torch.are_deterministic_algorithms_enabled(), not torch.backends.cudnn.benchmark

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = state()
    with reproducible(True, torch.device("cuda")):
        assert state() == (False, False, False, True, True)
        assert backends.math_sdp_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert state() == before
    with reproducible(True, torch.device("cpu")):
        assert backends.flash_sdp_enabled(), "a CPU's are the same each time anyway"


def test_warmup_counts_from_the_first_step() -> None:
    slow = OptimizerConfig(learning_rate=0.1, warmup=3, schedule="cosine", floor=0.1)
    with processes(bf16=False) as (accelerator, _):
        first, later = (
            prepare_module(TrainedModule(torch.nn.Linear(1, 1), slow, first_step=begins), accelerator, compiled=False)
            for begins in (0, 50)
        )
    assert [later.learning_rate(step, 100) for step in range(50)] == [0] * 50
    assert [later.learning_rate(step, 100) for step in range(50, 100)] == [
        first.learning_rate(step, 50) for step in range(50)
    ]


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    run(tmp_path / "one", QUIET)
    run_in_processes(2, tmp_path / "two", "noise=false")
    assert_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_two_processes_resume_to_the_bit(tmp_path: Path) -> None:
    run_in_processes(2, tmp_path / "calm")
    shutil.copytree(tmp_path / "calm", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step_00000012")
    run_in_processes(2, tmp_path / "resumed")
    assert same_bits(tmp_path / "calm", tmp_path / "resumed")
    shutil.copytree(tmp_path / "calm", tmp_path / "alone")
    shutil.rmtree(tmp_path / "alone" / "checkpoints" / "step_00000012")
    notes: list[str] = []
    run(tmp_path / "alone", resume=True, on_note=notes.append)
    assert notes == ["2 processes before, 1 now: the run continues, but draws other random numbers"]


def test_bf16_trains(tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", replace(QUIET, training=replace(SMALL, precision="bf16")))
    first, *_, last = [line["error"] for line in lines(tmp_path / "run") if line["kind"] == "train"]
    assert last < first
    assert outcome.steps == SMALL.steps
    assert all(tensor.dtype.itemsize >= 4 for tensor in last_tensors(tmp_path / "run").values())


def test_sharded_blocks_are_gathered_for_methods() -> None:
    """In one process: what FSDP has sharded is not a plain tensor even there."""
    torch.manual_seed(0)
    network = LlamaPrior(PRIOR)
    batch = random_batch(PRIOR, 2, 3, SPEC, torch.Generator().manual_seed(0))
    losses, gradients = [], []
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for sharded in (False, True):
            other = copy.deepcopy(network)
            if sharded:
                mesh = init_device_mesh("cpu", (1,))
                for block in other.blocks:
                    fully_shard(block, mesh=mesh)
                fully_shard(other, mesh=mesh)
                register_fsdp_methods(other)
            loss = other(batch).loss.mean()
            loss.backward()
            losses.append(loss.detach())
            gradients.append({name: full_tensor(p.grad) for name, p in other.named_parameters() if p.grad is not None})
    finally:
        dist.destroy_process_group()
    assert losses[0] == losses[1]
    assert all(torch.allclose(gradients[1][name], gradient, atol=1e-6) for name, gradient in gradients[0].items())
    assert len(gradients[0]) > 10


def test_fsdp_in_bf16_reduces_in_float32() -> None:
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    plugin.set_mixed_precision("bf16")
    reduce_in_float32(plugin)
    assert plugin.mixed_precision_policy.reduce_dtype == torch.float32
    network, batch = LlamaPrior(PRIOR), random_batch(PRIOR, 1, 2, SPEC, torch.Generator().manual_seed(0))
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        for part in (*network.blocks, network):
            fully_shard(part, mesh=mesh, mp_policy=plugin.mixed_precision_policy)
        register_fsdp_methods(network)
        loss = network(batch).loss
        loss.mean().backward()
        assert loss.dtype == torch.float32
        assert network.blocks[0].qkv.weight.grad is not None
    finally:
        dist.destroy_process_group()
