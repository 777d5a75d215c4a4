"""Two processes are one: the same losses at the same global batch to rounding, and the same exactness of resuming."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.fake import SMALL, FakeConfig, lines, run
from tests.training.programs import last_tensors, run_in_processes, same_bits

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
    assert notes == ["2 processes before, 1 now: the run goes on, but draws other random numbers"]


def test_bf16_trains(tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", replace(QUIET, training=replace(SMALL, precision="bf16")))
    first, *_, last = [line["error"] for line in lines(tmp_path / "run") if line["kind"] == "train"]
    assert last < first
    assert outcome.steps == SMALL.steps
    assert all(tensor.dtype.itemsize >= 4 for tensor in last_tensors(tmp_path / "run").values())
