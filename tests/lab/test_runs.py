"""A lab runs, stops anywhere and goes on, and its page shows what was measured."""

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.executors.inline import open_inline
from videogen.cli import main
from videogen.errors import NumbersError, ResourceError
from videogen.lab.budget import Calibration, StepClock, steps_for
from videogen.lab.headings import heading
from videogen.lab.process import error_of
from videogen.system.signals import Interrupted

Captured = pytest.CaptureFixture[str]
Change = Callable[[str, str], None]
TIMES = ("ms_per_step", "peak_mib")
LAB = ["lab", "recipe.yaml", "--out", "out", "--quiet"]


def figures() -> dict[str, Any]:
    """Of every training, without times."""
    found = {}
    for place in sorted(Path("out/variants").glob("*/seed_*/figures.json")):
        measured = json.loads(place.read_text())
        for name in TIMES:
            del measured["cost"][name]
        found[str(place)] = measured
    return found


def test_two_variants_and_their_page(recipe: Path, in_process: list[tuple[str, str]], capsys: Captured) -> None:
    assert main([*LAB, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads(Path("out/results.json").read_text())
    small, large = results["variants"]
    assert (small["figures"]["bits_per_token"], large["figures"]["bits_per_token"]) == (4, 6)
    assert large["figures"]["steps"] == 3
    assert large["figures"]["soft_gap"] == pytest.approx(0, abs=0.01)  # FSQ decodes codes while it is trained
    assert [step for step, _ in small["curves"]["psnr"]] == [1, 2, 3]
    assert small["curves"]["psnr"][-1][1] != large["curves"]["psnr"][-1][1]
    page = Path("out/page.md").read_text()
    assert page.startswith("# Two of a kind\n\n**Which is larger?**\n")
    assert "videogen lab recipe.yaml --out out" in page
    assert "| **FSQ** |" in page
    row = next(line for line in page.splitlines() if line.startswith("| 8 x 8 |"))
    assert f"| {large['figures']['psnr']:.2f} |" in row
    assert "- 8 x 8: has more codes" in page
    shown = sorted(place.name for place in Path("out/page").iterdir())
    assert shown == [
        "chart_1.svg",
        "chart_2.svg",
        "chart_3.svg",
        "chart_4.svg",
        "chart_5.svg",
        "clip_0.png",
        "clip_1.png",
    ]
    assert all(f"(page/{name})" in page for name in shown)
    assert main(["lab", "recipe.yaml", "--out", "out", "--page-only"]) == 0
    assert "chart 'No residual quantizer here': no variant has psnr_levels\n" in capsys.readouterr().err


def test_workers_find_what_one_training_after_the_other_finds(
    recipe: Path, in_process: list[tuple[str, str]], change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    change("charts:\n", "  twin: {tokenizer_of: small}\ncharts:\n")
    assert main(LAB) == 0
    one_by_one, began = figures(), [*in_process]
    Path("out").rename("before")
    monkeypatch.setattr(sys.modules["videogen.cli.lab"], "open_executor", open_inline)
    assert main([*LAB, "--workers", "2"]) == 0
    assert figures() == one_by_one
    assert in_process[len(began) :] == [("train", "large"), ("train", "small"), ("train", "twin")]


def test_workers_time_the_first_variant_alone(
    recipe: Path, in_process: list[tuple[str, str]], change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    change("{steps: 3}", "{cpu_seconds: 1, calibration: 3}")
    change("charts:\n", "  other: {set: {training.batch_size: 1}}\ncharts:\n")
    monkeypatch.setattr("videogen.lab.budget.StepClock.median_ms", lambda clock: 500.0)
    monkeypatch.setattr(sys.modules["videogen.cli.lab"], "open_executor", open_inline)
    assert main([*LAB, "--engine", "ray"]) == 0
    timed = [name for action, name in in_process if action == "calibrate"]
    assert timed == ["small", "other", "large"]
    assert json.loads(Path("out/variants/other/budget.json").read_text())["steps"] == 2


def test_finished_trainings_are_not_repeated(recipe: Path, in_process: list[tuple[str, str]], capsys: Captured) -> None:
    assert main(LAB) == 0
    assert in_process == [("train", "small"), ("train", "large")]
    before = {place: place.stat().st_mtime_ns for place in Path("out/variants").glob("*/*/training.json")}
    assert main(LAB) == 2
    assert "--resume continues it" in capsys.readouterr().err
    assert main([*LAB, "--resume"]) == 0
    assert before == {place: place.stat().st_mtime_ns for place in Path("out/variants").glob("*/*/training.json")}


def test_stopped_within_a_training_and_resumed(
    recipe: Path, in_process: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(LAB) == 0
    never_stopped = figures()
    Path("out").rename("before")
    tick, ticks = StepClock.__call__, []

    def die_at_the_fifth(clock: StepClock, done: int, total: int) -> None:
        ticks.append(done)
        if len(ticks) == 5:
            raise MemoryError  # in the second step of the second variant
        tick(clock, done, total)

    monkeypatch.setattr(StepClock, "__call__", die_at_the_fifth)
    assert main(LAB) == 5
    assert len(figures()) == 1
    assert main([*LAB, "--resume"]) == 0
    assert ticks == [1, 2, 3, 1, 2, 3]  # the second variant went on after the checkpoint of its second step
    assert figures() == never_stopped


def test_texts_may_change_and_measures_be_added(
    recipe: Path, in_process: list[tuple[str, str]], change: Change
) -> None:
    change("soft_gap, cost]", "cost]")
    assert main(LAB) == 0
    change("label: 8 x 8", "label: The large one\n    note: has more codes, and a longer name")
    change("    note: has more codes\n", "")
    change("question: Which is larger?", "question: Which is larger?\nfindings: The large one is.")
    place = Path("docs.md")
    assert main([*LAB, "--page-only", "--page", str(place)]) == 0
    assert in_process == [("train", "small"), ("train", "large")]
    assert "| The large one |" in place.read_text()
    assert "## Findings\n\nThe large one is." in place.read_text()
    assert Path("docs/results.json").exists()
    assert Path("docs/clip_0.png").exists()
    change("prefix, cost]", "prefix, soft_gap, cost]")
    assert main([*LAB, "--resume"]) == 0
    assert all("soft_gap" in measured for measured in figures().values())


def test_a_changed_recipe_is_refused(
    recipe: Path, in_process: list[tuple[str, str]], change: Change, capsys: Captured
) -> None:
    assert main(LAB) == 0
    for before, after, said in (
        ("levels: [8, 8]", "levels: [8, 5]", "variant 'large' began with tokenizer.quantizer.levels = [8, 8]"),
        ("{steps: 3}", "{steps: 4}", "the lab began with budget.steps = 3"),
        ("clips: 6", "clips: 7", "the lab began with data.train.clips = 6"),
    ):
        change(before, after)
        capsys.readouterr()
        assert main([*LAB, "--resume"]) == 2
        message = capsys.readouterr().err
        assert said in message
        assert message.count("\n") == 1
        change(after, before)


def test_a_folder_of_other_files_is_left_alone(recipe: Path, capsys: Captured) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").touch()
    assert main(LAB) == 2
    assert "not a lab's" in capsys.readouterr().err
    assert main([*LAB, "--page-only"]) == 2


def test_seeds_have_a_mean_and_a_spread(recipe: Path, in_process: list[tuple[str, str]], change: Change) -> None:
    change("validations: 3", "validations: 3\nseeds: [0, 1]")
    assert main(LAB) == 0
    row = json.loads(Path("out/results.json").read_text())["variants"][0]
    first, second = (row["by_seed"][seed]["psnr"] for seed in ("0", "1"))
    assert first != second
    assert row["figures"]["psnr"] == pytest.approx((first + second) / 2)
    assert row["spread"]["psnr"] == pytest.approx(abs(first - second) / 2**0.5)
    assert " ± " in Path("out/page.md").read_text()


def test_cpu_time_becomes_steps_once(recipe: Path, in_process: list[tuple[str, str]], change: Change) -> None:
    change("{steps: 3}", "{cpu_seconds: 0.05, calibration: 4}")
    assert main(LAB) == 0
    assert in_process[:2] == [("calibrate", "small"), ("train", "small")]
    budgets = [json.loads(place.read_text()) for place in sorted(Path("out/variants").glob("*/budget.json"))]
    shared = json.loads(Path("out/lab.json").read_text())
    for budget, measured in zip(budgets, figures().values(), strict=True):
        relative = budget["variant_ms"] / budget["base_ms"]
        assert budget["ms_per_step"] == pytest.approx(relative * shared["base_ms"])
        assert measured["cost"]["steps"] == budget["steps"] == steps_for(0.05, budget["ms_per_step"])
    del in_process[:]
    assert main([*LAB, "--resume"]) == 0
    assert {action for action, _ in in_process} == {"train"}


def test_all_levels_of_a_residual_quantizer_are_the_reconstruction(
    recipe: Path, in_process: list[tuple[str, str]], change: Change
) -> None:
    residual = "{kind: residual, depth: 2, quantizer: {kind: vq, size: 8, dim: 2}}"
    change("{kind: fsq, levels: [8, 8]}", residual)
    assert main(LAB) == 0
    small, large = (row["figures"] for row in json.loads(Path("out/results.json").read_text())["variants"])
    assert "psnr_levels_1" not in small
    assert large["psnr_levels_2"] == pytest.approx(large["psnr"], abs=1e-9)
    assert large["psnr_levels_1"] != large["psnr_levels_2"]
    assert "No residual quantizer here" in Path("out/page.md").read_text()  # the title of the chart of one line


def test_a_numbered_figure_has_the_heading_of_its_kind() -> None:
    assert heading("psnr_levels_4").text == "PSNR of the first levels, dB (4)"
    assert heading("psnr_levels_4").show(21.234) == "21.23"
    assert heading("something_2").text == "something_2"


def test_time_is_relative_to_the_base() -> None:
    slow_machine = Calibration(base_ms=200, variant_ms=300)
    assert slow_machine.ms_per_step(base_ms=100) == 150
    assert steps_for(60, 150) == 400
    assert steps_for(0.01, 150) == 1


def test_the_median_step_leaves_out_the_first_and_the_last() -> None:
    clock = StepClock()
    clock.ticks = [0.0, 9.0, 9.01, 9.02, 9.03, 30.0]
    assert clock.median_ms() == pytest.approx(10)
    clock(1, 1)
    assert 0 <= clock.ticks[-1] <= time.process_time()


def test_a_variant_that_diverges_is_a_result(recipe: Path, in_process: list[tuple[str, str]], change: Change) -> None:
    change(
        "      tokenizer.quantizer: {kind: fsq, levels: [8, 8]}",
        "      optimizer.learning_rate: 0.99\n      optimizer.clip: null\n      loss.l2: 1e+300",
    )
    assert main(LAB) == 0
    small, large = json.loads(Path("out/results.json").read_text())["variants"]
    assert small["failed"] is None
    assert "not finite" in large["failed"]
    assert "| 8 x 8 | diverged |" in Path("out/page.md").read_text()
    assert main([*LAB, "--resume"]) == 0
    assert in_process[2:] == [("train", "small")]  # it is not tried again


@pytest.mark.slow
def test_killed_without_warning_and_resumed(recipe: Path, in_process: list[tuple[str, str]], change: Change) -> None:
    change("{steps: 3}", "{steps: 120}")
    change("validations: 3", "validations: 12")
    run = Path("out/variants/small/seed_0/run")
    runner = subprocess.Popen([sys.executable, "-m", "videogen", *LAB])
    while not list(run.glob("checkpoints/step_*")):
        assert runner.poll() is None
        time.sleep(0.05)
    runner.kill()
    runner.wait()
    with (run / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the training has noticed, saved and stopped
    assert not Path("out/variants/small/seed_0/training.json").exists()
    assert main([*LAB, "--resume"]) == 0
    resumed = figures()
    Path("out").rename("before")
    assert main(LAB) == 0
    assert figures() == resumed


def test_errors_of_a_process_are_those_of_the_lab() -> None:
    diverged = error_of(NumbersError.exit_code, "a warning\nstep 7: loss not finite\n", "large")
    assert isinstance(diverged, NumbersError)
    assert str(diverged) == "variant 'large': step 7: loss not finite"
    stopped = error_of(143, "saved\n", "large")
    assert isinstance(stopped, Interrupted)
    assert stopped.exit_code == 143
    killed = error_of(-9, "", "large")
    assert isinstance(killed, ResourceError)
    assert "SIGKILL" in str(killed)
    assert "Traceback" in str(error_of(1, "Traceback ...\nKeyError: 'x'\n", "large"))


def test_in_processes_of_their_own(recipe: Path, change: Change) -> None:
    text = recipe.read_text()
    recipe.write_text(text[: text.index("  large:")])
    assert main(LAB) == 0
    training = json.loads(Path("out/variants/small/seed_0/training.json").read_text())
    assert training["steps"] == 3
    assert training["peak_mib"] > 100
