"""What a recipe comes to, and what is wrong with others: one line that names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from videogen.cli import main
from videogen.lab.folder import Lab

Captured = pytest.CaptureFixture[str]
Change = Callable[[str, str], None]
GRID = """\
grid:
  kind:
    fsq: {label: FSQ, set: {tokenizer.quantizer: {kind: fsq, levels: [4]}}}
    lfq:
      label: LFQ
      set:
        tokenizer.quantizer: {kind: lfq, bits: 4, sharpness: 1, commitment_weight: 0, sample_entropy_weight: 0,
          batch_entropy_weight: 0}
        tokenizer.quantizer.bits: 2
  rate:
    slow: {set: {optimizer.learning_rate: 1e-4}}
    fast: {set: {optimizer.learning_rate: 1e-2}}
"""


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("oracle, prefix", "orakel, prefix", 7, "measures hold 'orakel'"),
        ("tokenizer.quantizer:", "tokenizer.quantiser:", 16, "unknown key 'tokenizer.quantiser'"),
        ("levels: [8, 8]", "levels: [1, 8]", 16, "levels"),
        ("tokenizer.quantizer:", "training.steps: 7\n      tokenizer.quantizer:", 16, "the same for all variants"),
        ("{steps: 3}", "{steps: 0}", 6, "steps is 0"),
        ("{steps: 3}", "{cpu_seconds: 0}", 6, "cpu_seconds is 0"),
        ("{steps: 3}", "{steps: 3, cpu_seconds: 4}", 6, "give one of them"),
        ("{steps: 3}", "{}", 6, "give one of them"),
        ("  small:", "  ../small:", 9, "'../small'"),
        ("base: base.yaml", "base: bass.yaml", None, "bass.yaml"),
        ("kind: lines, figures: [bits_per_token, psnr]", "kind: lines, figures: [psnr]", 22, "figures are 1"),
        ("held_out: 3", "held_out: 1", None, "pictures show clip 1 of 1"),
        ("validations: 3", "seeds: [0, -1]", 8, "seeds are [0, -1]"),
        ("label: 8 x 8", 'label: "4 x 4"', 12, "'small' and 'large' have one label, '4 x 4'"),
        ("title: While training", "title: Some, only: [FSO]", 18, "'only' has 'FSO'"),
        ("validations: 3", "pictures: {only: [smal]}", 8, "did you mean 'small'"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    recipe: Path, change: Change, capsys: Captured, before: str, after: str, line: int | None, said: str
) -> None:
    change(before, after)
    assert main(["lab", "recipe.yaml", "--out", "out"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert said in message
    assert line is None or f"recipe.yaml:{line}:" in message
    assert not Path("out").exists()


def test_without_variants(recipe: Path, capsys: Captured) -> None:
    text = recipe.read_text()
    recipe.write_text(text[: text.index("variants:")])
    assert main(["lab", "recipe.yaml", "--out", "out"]) == 2
    assert "variants are missing" in capsys.readouterr().err


def test_the_oracle_needs_the_playroom(recipe: Path, change: Change, capsys: Captured) -> None:
    start = recipe.read_text().index("data:")
    line = recipe.read_text()[start:].splitlines()[0]
    change(line, "data: {kind: folder, train: videos}")
    assert main(["lab", "recipe.yaml", "--out", "out"]) == 2
    assert "'oracle', which needs clips of the playroom" in capsys.readouterr().err


def test_a_variant_changes_the_base_and_nothing_else(recipe: Path) -> None:
    lab = Lab.open(recipe, Path("out"))
    small, large = (lab.config(variant, 5, 12) for variant in lab.variants)
    assert small["tokenizer"]["quantizer"] == {"levels": [4, 4], "kind": "fsq"}
    assert large["tokenizer"].pop("quantizer") == {"levels": [8, 8], "kind": "fsq"}
    del small["tokenizer"]["quantizer"]
    assert small == large
    assert small["training"]["seed"] == 5
    assert small["training"]["steps"] == 12
    assert small["training"]["validate_every"] == 4


def test_a_grid_is_every_combination(recipe: Path) -> None:
    recipe.write_text(recipe.read_text() + GRID)
    lab = Lab.open(recipe, Path("out"))
    by_name = {variant.name: variant for variant in lab.variants}
    assert list(by_name) == ["small", "large", "fsq_slow", "fsq_fast", "lfq_slow", "lfq_fast"]
    assert (by_name["lfq_fast"].label, by_name["lfq_fast"].group) == ("LFQ, fast", "LFQ")
    config = lab.config(by_name["lfq_fast"], 0, 3)
    assert config["tokenizer"]["quantizer"]["bits"] == 2
    assert config["optimizer"]["learning_rate"] == 1e-2
    assert lab.config(by_name["fsq_slow"], 0, 3)["optimizer"]["learning_rate"] == 1e-4


def test_a_recipe_is_shown_as_it_reads_back(recipe: Path, capsys: Captured) -> None:
    assert main(["config", "show", "recipe.yaml"]) == 0
    Path("again.yaml").write_text(capsys.readouterr().out)
    shown = Path("again.yaml").read_text().splitlines()
    assert [line.split("#")[1] for line in shown if "levels: [8, 8]" in line] == [" recipe.yaml:16"]
    first, again = (Lab.open(Path(name), Path("out")) for name in ("recipe.yaml", "again.yaml"))
    configs = [[lab.config(variant, 0, 3) for variant in lab.variants] for lab in (first, again)]
    assert configs[0] == configs[1]
    assert first.recipe.charts == again.recipe.charts
