"""Priors on the variants' tokens: trained and scored, stopped and resumed, refused before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videogen.cli import main
from videogen.lab.budget import StepClock
from videogen.lab.folder import Lab

Captured = pytest.CaptureFixture[str]
Change = Callable[[str, str], None]
LAB = ["lab", "recipe.yaml", "--out", "out", "--quiet"]
SECTION = "prior: {base: prior_base.yaml, steps: 4, clips: 3, sampling_steps: 2}\n"
PRIOR = """\
schema: prior
data: {train: tokens, validation_clips: 2}
phases:
  - {from_step: 0, frames: 2}
prior: {width: 16, layers: 1, heads: 2, kv_heads: 1, hidden: 24, window: 2, objective: masked}
text: {kind: bpe, vocabulary: 300, length: 6}
teaching: {corruption: 0.1}
optimizer: {learning_rate: 1e-3, warmup: 1, schedule: cosine}
training: {steps: 9, batch_size: 2}
"""


@pytest.fixture
def recipe(recipe: Path) -> Path:
    """That of the lab's tests, with priors."""
    Path("prior_base.yaml").write_text(PRIOR)
    text = recipe.read_text().replace("soft_gap, cost]", "cost, layout, prior, prior_speed]")
    recipe.write_text(text.replace("validations: 3\n", f"validations: 3\n{SECTION}"))
    return recipe


def priors() -> dict[str, dict[str, Any]]:
    """The figures of each variant's priors, without times."""
    places = sorted(Path("out/variants").glob("*/seed_*/figures.json"))
    measured = {str(place): json.loads(place.read_text())["prior"] for place in places}
    return {
        place: {name: value for name, value in each.items() if "_ms_" not in name} for place, each in measured.items()
    }


def test_priors_are_trained_scored_and_shown(recipe: Path, in_process: list[tuple[str, str]], capsys: Captured) -> None:
    assert main([*LAB, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["variants"][1]["figures"]
    assert (figures["prior_steps_half"], figures["prior_steps"]) == (2, 4)
    assert figures["prior_bits_per_latent"] == pytest.approx(1.442695 * figures["prior_nats_per_latent"])
    assert figures["prior_nats_per_latent_half"] != figures["prior_nats_per_latent"]
    assert all(
        0 <= figures[f"prior_{name}"] <= 1 for name in ("all_right", "attributes", "attributes_chance", "motion")
    )
    assert figures["prior_sampling_steps"] == 2
    assert figures["prior_ms_per_latent"] > 0
    assert (figures["tokens_per_latent"], figures["bits_per_latent"]) == (4, 24)
    assert all(figures[name] > 0 for name in ("encode_ms", "decode_ms", "state_kib"))
    page = Path("out/page.md").read_text()
    assert "for 4 steps and for 2 steps" in page
    assert "| prior: all right, half the time | prior: all right |" in page


@pytest.mark.slow
def test_stopped_within_a_prior_and_resumed(
    recipe: Path, in_process: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(LAB) == 0
    never_stopped = priors()
    Path("out").rename("before")
    tick, ticks = StepClock.__call__, []

    def die_at_the_eighth(clock: StepClock, done: int, total: int) -> None:
        ticks.append(done)
        if len(ticks) == 8:
            raise MemoryError  # in the third step of the whole training of the first variant's prior
        tick(clock, done, total)

    monkeypatch.setattr(StepClock, "__call__", die_at_the_eighth)
    assert main(LAB) == 5
    assert ticks == [1, 2, 3, 1, 2, 1, 2, 3]
    assert not priors()
    assert main([*LAB, "--resume"]) == 0
    assert ticks[8:] == [3, 4, 1, 2, 3, 1, 2, 1, 2, 3, 4]  # nothing but the last two steps, then the other variant
    assert priors() == never_stopped


@pytest.mark.slow
def test_a_prior_may_be_added_and_not_changed(
    recipe: Path, in_process: list[tuple[str, str]], change: Change, capsys: Captured
) -> None:
    change(SECTION, "")
    change(", layout, prior, prior_speed]", "]")
    assert main(LAB) == 0
    change("cost]", "cost, prior]")
    change("validations: 3\n", f"validations: 3\n{SECTION}")
    assert main([*LAB, "--resume"]) == 0
    assert len(priors()) == 2
    Path("prior_base.yaml").write_text(PRIOR.replace("width: 16", "width: 8"))
    capsys.readouterr()
    assert main([*LAB, "--resume"]) == 2
    message = capsys.readouterr().err
    assert "the lab began with prior.config.prior.width = 16" in message
    assert message.count("\n") == 1


def test_the_page_says_which_variants_have_no_prior(
    recipe: Path, in_process: list[tuple[str, str]], change: Change, capsys: Captured
) -> None:
    change(
        "      tokenizer.quantizer: {kind: fsq, levels: [8, 8]}",
        "      tokenizer.causal: false\n      tokenizer.kernel_t: 3",
    )
    assert main([*LAB, "--json"]) == 0
    small, large = (row["figures"] for row in json.loads(capsys.readouterr().out)["variants"])
    assert small["prior_steps"] == 4
    assert not [name for name in large if name.startswith("prior_")]
    page = Path("out/page.md").read_text()
    assert "- 8 x 8: no prior: the recipe leaves it out" in page
    assert page.count("no prior:") == 1
    row = next(line for line in page.splitlines() if line.startswith("| 8 x 8 |"))
    assert "| – |" in row


@pytest.mark.slow
def test_cpu_time_becomes_steps_once(recipe: Path, in_process: list[tuple[str, str]], change: Change) -> None:
    change("budget: {steps: 3}", "budget: {cpu_seconds: 0.05, calibration: 4}")
    change("steps: 4, clips", "cpu_seconds: 0.05, calibration: 4, clips")
    recipe.write_text(recipe.read_text().replace("  small:", "  only:").partition("  large:")[0])
    assert main(LAB) == 0
    folder = Path("out/variants/only/seed_0")
    budget = json.loads((folder / "prior" / "budget.json").read_text())
    base_ms = json.loads(Path("out/lab.json").read_text())["base_ms"]
    assert budget["ms_per_step"] == pytest.approx(budget["variant_ms"] / budget["base_ms"] * base_ms)
    figures = json.loads((folder / "figures.json").read_text())["prior"]
    assert figures["prior_steps"] == budget["steps"] == max(1, round(50 / budget["ms_per_step"]))
    assert figures["prior_ms_per_step"] == budget["ms_per_step"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("prior_base.yaml, ", "prior_bass.yaml, ", "prior_bass.yaml: no such file"),
        ("steps: 4, clips", "cpu_seconds: 4, clips", "budget needs them too"),
        ("steps: 4, clips: 3", "clips: 3", "give one of them"),
        ("clips: 3", "clips: 4", "there are 3 held-out clips"),
        ("layout, prior, prior_speed]", "layout]", "go together"),
        ("sampling_steps: 2", "sampling_steps: 2, set: {training.steps: 3}", "the same for all variants"),
        ("sampling_steps: 2", "sampling_steps: 2, set: {prior.wide: 3}", "unknown key 'prior.wide'"),
        ("sampling_steps: 2", "sampling_steps: 2, set: {prior.head: tail}", "tail"),
        ("frames: 5, seed: 3", "frames: 4, seed: 3", "2 latent frames; clips of 4 frames have 1"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_trained(
    recipe: Path, change: Change, capsys: Captured, before: str, after: str, said: str
) -> None:
    change(before, after)
    assert main(LAB) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert said in message
    assert not Path("out").exists()


def test_priors_differ_by_their_seed_and_nothing_else(recipe: Path) -> None:
    from videogen.lab.runner import prior_job

    lab = Lab.open(recipe, Path("out"))
    one, other = (prior_job(lab, lab.variants[0], lab.config(lab.variants[0], seed, 3)) for seed in (0, 5))
    assert (one.config["training"].pop("seed"), other.config["training"].pop("seed")) == (0, 5)
    assert one.config == other.config


def shared_tokenizer(recipe: Path) -> None:
    """A third variant, with the tokenizer of the second and another prior."""
    other = "  rival: {tokenizer_of: large, prior: {prior.head: {kind: depth, layers: 1, heads: 2}}}\ncharts:"
    recipe.write_text(recipe.read_text().replace("charts:", other))


def test_priors_on_one_tokenizer_are_compared(
    recipe: Path, in_process: list[tuple[str, str]], capsys: Captured
) -> None:
    shared_tokenizer(recipe)
    assert main([*LAB, "--json"]) == 0
    large, rival = json.loads(capsys.readouterr().out)["variants"][1:]
    same = ("psnr", "tokens_per_latent", "bits_per_latent", "steps")
    assert all(large["figures"][name] == rival["figures"][name] for name in same)
    assert large["figures"]["prior_nats_per_latent"] != rival["figures"]["prior_nats_per_latent"]
    runs = [Path(f"out/variants/{name}/seed_0/run/model/tokenizer/model.safetensors") for name in ("large", "rival")]
    assert runs[0].read_bytes() == runs[1].read_bytes()
    heads = [json.loads(Path(f"out/variants/{name}/seed_0/job.json").read_text()) for name in ("large", "rival")]
    assert [each["prior"]["config"]["prior"]["head"]["kind"] for each in heads] == ["chain", "depth"]
    recipe.write_text(recipe.read_text().replace("layers: 1, heads: 2}}", "layers: 2, heads: 2}}"))
    assert main([*LAB, "--resume"]) == 2
    assert "the prior of variant 'rival' began with prior.head.layers = 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("{tokenizer_of: nobody}", "has the tokenizer of 'nobody', no earlier variant"),
        ("{tokenizer_of: large, set: {tokenizer.f_s: 4}}", "set changes the tokenizer, which is that of 'large'"),
        ("{tokenizer_of: large, prior: {prior.heads: 3}}", "heads = 3"),
        ("{tokenizer_of: large, prior: {training.steps: 3}}", "the same for all variants"),
        ("{tokenizer_of: large, prior: {prior.head: flow}}", "flow needs continuous tokens"),
    ],
)
def test_a_mistake_in_a_shared_tokenizer_is_one_line(recipe: Path, capsys: Captured, variant: str, said: str) -> None:
    recipe.write_text(recipe.read_text().replace("charts:", f"  rival: {variant}\ncharts:"))
    assert main(LAB) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert said in message
    assert not Path("out").exists()


def test_what_would_be_ignored_is_refused(recipe: Path, change: Change, capsys: Captured) -> None:
    """A shared tokenizer in a grid, and changes or the speed of a prior that there is not."""
    before = recipe.read_text()

    def refused(said: str) -> None:
        assert main(LAB) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert said in message
        recipe.write_text(before)

    recipe.write_text(f"{before}\ngrid: {{axis: {{a: {{tokenizer_of: large}}}}}}\n")
    refused("grid has tokenizer_of in 'axis'")
    change(SECTION, "")
    change(", layout, prior, prior_speed]", ", prior_speed]")
    refused("'prior_speed', which needs the measure 'prior'")
    change(SECTION, "")
    change(", layout, prior, prior_speed]", "]")
    change("charts:", "  rival: {tokenizer_of: large, prior: {prior.layers: 1}}\ncharts:")
    refused("prior is missing, and 'rival' changes it")
