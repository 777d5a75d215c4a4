"""The GPU checks: the runner survives every failure of a check, and the checks work on a CPU."""

import importlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu_check import checks, report, runner
from benchmarks.gpu_check.checks import training
from benchmarks.gpu_check.runner import Check, Outcome, run_all
from benchmarks.measuring import grid_spec
from prior.config import PriorConfig
from prior.model import LlamaPrior
from prior.visibility import Layout
from videogen.evaluation.lab import roofline

HERE = "tests.benchmarks.fake_checks"
PASSES = Check("passes", f"{HERE}:passes", 60, 60)
RAISES = Check("raises", f"{HERE}:raises", 60, 60)
HANGS = Check("hangs", f"{HERE}:hangs", 3, 3)
DIES = Check("dies", f"{HERE}:dies", 60, 60)
SKIPPED = Check("skipped", f"{HERE}:passes", 60, 60, needs=("json", "no_such_package"))


def run(*some: Check, budget: float = 300) -> tuple[list[Outcome], list[list[str]]]:
    """The outcomes, and the names of the known ones at each call of `on_outcome`."""
    written: list[list[str]] = []
    outcomes = run_all(some, "cpu", budget, lambda known: written.append([each.name for each in known]))
    return outcomes, written


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    return [(finding["what"], finding["proven"]) for finding in outcome.findings]


def test_a_failing_check_does_not_stop_the_others() -> None:
    began = time.monotonic()
    outcomes, written = run(RAISES, HANGS, SKIPPED, DIES, PASSES)
    assert [each.ended for each in outcomes] == ["failed", "out of time", "skipped", "failed", "whole"]
    assert rows(outcomes[0]) == [("before the mistake", "yes"), ("raises: the rest", "no")]
    assert "ValueError: the kernel does not like this shape" in outcomes[0].findings[-1]["why"]
    assert "tests/benchmarks/fake_checks.py" in outcomes[0].findings[-1]["why"]
    assert rows(outcomes[1]) == [("before it hangs", "yes"), ("hangs: the rest", "no")]
    assert outcomes[1].findings[-1]["why"] == "out of time after 3 s"
    assert "fake_checks.py" in outcomes[1].findings[-1]["numbers"]["log"], "it is not said where it hung"
    assert rows(outcomes[2]) == [("skipped", "skipped")]
    assert outcomes[2].findings[0]["why"] == "needs no_such_package, which is not installed"
    assert rows(outcomes[3]) == [("dies: the rest", "no")]
    assert rows(outcomes[4]) == [("one thing", "yes"), ("another | thing", "timed")]
    assert outcomes[4].findings[0]["why"] == "on cpu"
    assert time.monotonic() - began < 300, "it waited for a process that hangs"
    names = [each.name for each in outcomes]
    assert written == [names[: count + 1] for count in range(5)], "results are written after each check"


def test_checks_after_the_budget_are_left_out() -> None:
    now = iter([0.0, 0.0, 58.0, 100.0])
    outcomes = run_all((PASSES, PASSES, PASSES), "cpu", 60, lambda known: None, clock=lambda: next(now))
    assert [each.ended for each in outcomes] == ["whole", "left out", "left out"]
    assert outcomes[1].findings[0]["why"] == "the budget of 60 s was spent"


def test_a_check_killed_at_the_end_of_the_budget_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MIN_SECONDS", 0.5)
    now = iter([0.0, 59.0])
    slow = Check("hangs", HANGS.function, 60, 60)
    (outcome,) = run_all((slow,), "cpu", 60, lambda known: None, clock=lambda: next(now, 60.0))
    assert rows(outcome)[-1] == ("hangs: the rest", "skipped")
    assert "the budget ended after 1 s" in outcome.findings[-1]["why"]


def test_a_report_keeps_one_run_per_kind_of_device_and_one_row_per_finding(tmp_path: Path) -> None:
    outcomes, _ = run(PASSES)
    facts = {"date": "2026-01-01", "hardware": "a machine", "budget": 60.0}
    run_there = {**facts, "device": "NVIDIA X", "torch": "torch 9", "checks": runner.as_json(outcomes)}
    report.store_run(tmp_path, "cpu", {**run_there, "device": "CPU, 2 threads"})
    assert report.NO_GPU_RUN in (tmp_path / "gpu.md").read_text()
    report.store_run(tmp_path, "cuda", run_there)
    page = (tmp_path / "gpu.md").read_text()
    assert report.NO_GPU_RUN not in page
    assert page.count("| one thing | yes | 1 ms | 2 x | on cpu |") == 2
    assert "| another / thing | timed | 3 ms |  |  |" in page
    assert page.index("NVIDIA X; torch 9") < page.index("CPU, 2 threads; torch 9")
    assert sorted(json.loads((tmp_path / "gpu.json").read_text())) == ["cpu", "cuda"]
    (tmp_path / "gpu.json").write_text("{cut off")
    report.store_run(tmp_path, "cpu", run_there)
    assert list(json.loads((tmp_path / "gpu.json").read_text())) == ["cpu"]


def test_a_run_of_some_checks_keeps_other_results_of_the_same_machine() -> None:
    def run_of(**found: str) -> dict[str, Any]:
        checks = [{"name": name, "seconds": 1.0, "findings": [{"what": what}]} for name, what in found.items()]
        return {"hardware": "a machine", "device": "", "torch": "", "checks": checks}

    before, again = {**run_of(a="old", b="old"), "torch": "torch 9"}, run_of(c="new", b="new")
    joined = report.merge_runs(before, again, ["a", "b", "c"])
    assert [each["findings"][0]["what"] for each in joined["checks"]] == ["old", "new", "new"]
    assert joined["torch"] == "torch 9"
    assert report.merge_runs({**before, "hardware": "another"}, again, ["a", "b", "c"]) == again


def test_every_check_of_the_table_can_be_imported() -> None:
    for check in checks.CHECKS:
        module, name = check.function.split(":")
        assert callable(getattr(importlib.import_module(module), name)), check.name
    names = [check.name for check in checks.CHECKS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["80 M", "700 M"])
def test_a_gpu_trains_the_shapes_of_the_presets(name: str) -> None:
    """Counted on the meta device."""
    given = training.preset(name, "cuda")
    with torch.device("meta"):
        network = LlamaPrior(given.config)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert millions == pytest.approx(float(name.split()[0]), rel=0.15)
    assert given.frames == 9
    assert given.recompute == (name == "700 M")


@pytest.mark.parametrize("name", ["machine", "flex"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_cheapest_checks_pass_on_a_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(roofline.GEMM_SIDE, "cpu", 64)
    monkeypatch.setitem(roofline.TRIAD_BYTES, "cpu", 2**16)
    check = next(each for each in checks.CHECKS if each.name == name)
    module, function = check.function.split(":")
    found: list[Any] = list(getattr(importlib.import_module(module), function)("cpu"))
    assert {finding.proven for finding in found} <= {"yes", "timed", "skipped"}, found
    assert sum(finding.proven == "yes" for finding in found) >= 1


def test_training_flop_is_six_operations_per_weight_and_token_plus_attention() -> None:
    config = PriorConfig(
        width=64,
        layers=50,
        heads=4,
        kv_heads=4,
        hidden=128,
        window=2,
        objective="masked",
        context=None,
        spec=grid_spec((8,), 3),
    )
    layout = Layout(0, 6, 9, 2, 2, "together")
    weights = 50 * 64 * (4 * 64 + 3 * 128)
    pairs = int(layout.mask().sum())
    nearly = 6 * weights * layout.length + 3 * 50 * 4 * 64 * pairs
    assert training.training_flop(config, layout, batch=1) == pytest.approx(nearly, rel=0.02)
    assert training.training_flop(config, layout, batch=7) == 7 * training.training_flop(config, layout, batch=1)
