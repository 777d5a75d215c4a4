"""Every mistake in a configuration is one line with its place, the error and a suggestion."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videogen.config import ConfigError, as_json, as_yaml, load
from videogen.config.strict_yaml import parse


@dataclass(frozen=True)
class Round:
    kind: Literal["round"]
    radius: float


@dataclass(frozen=True)
class Box:
    kind: Literal["box"]
    sides: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Optimizer:
    learning_rate: float = 3e-4
    betas: tuple[float, ...] = (0.9, 0.99)
    warmup: int | None = None


@dataclass(frozen=True)
class Recipe:
    steps: int
    shape: Round | Box
    name: str = "unnamed"
    order: Literal["random", "halton"] = "random"
    fast: bool = False
    folder: Path = Path("runs")
    optimizer: Optimizer = field(default_factory=Optimizer)
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.fast and self.steps > 100:
            raise ValueError(f"steps is {self.steps}; with fast it must be at most 100")


GOOD = """\
# a recipe
steps: 10
shape:
  kind: box
  sides: [3, 4]
name: no          # the text "no", not false
optimizer:
  learning_rate: 1e-4
  warmup: null
weights: {l1: 1, lpips: .5}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_types_decide_what_words_mean(tmp_path: Path) -> None:
    recipe = load(Recipe, write(tmp_path, GOOD)).value
    assert recipe == Recipe(
        steps=10,
        shape=Box("box", (3, 4)),
        name="no",
        optimizer=Optimizer(learning_rate=1e-4),
        weights={"l1": 1.0, "lpips": 0.5},
    )
    assert isinstance(recipe.weights["l1"], float)


def test_overrides_win_and_origins_tell(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    resolved = load(Recipe, path, ["optimizer.betas=[0.5, 0.6]", "shape.sides=[7, 8]", "fast=true"])
    assert resolved.value.optimizer == Optimizer(1e-4, (0.5, 0.6))
    assert resolved.value.shape == Box("box", (7, 8))
    assert resolved.origins["optimizer.learning_rate"] == f"{path}:8"
    assert resolved.origins["optimizer.betas"] == "command line"
    assert resolved.origins["order"] == "default"


def test_a_shown_configuration_reads_back_the_same(tmp_path: Path) -> None:
    resolved = load(Recipe, write(tmp_path, GOOD), ["name='a: \"b\" # c'"])
    shown = as_yaml("recipe", resolved)
    again = load(Recipe, write(tmp_path, shown.partition("\n")[2]))
    assert again.value == resolved.value
    assert as_json(again)["config"] == as_json(resolved)["config"]
    assert "# command line" in next(line for line in shown.splitlines() if line.startswith("name:"))


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("steps:", "stps:"), 2, ["unknown key 'stps'", "did you mean 'steps'"]),
        (("learning_rate", "learnin_rate"), 8, ["optimizer.learnin_rate", "did you mean 'optimizer.learning_rate'"]),
        (
            ("steps:", "learning_rate: 1  # "),
            2,
            ["unknown key 'learning_rate'", "did you mean 'optimizer.learning_rate'"],
        ),
        (("steps: 10", "steps: ten"), 2, ["'steps' is 'ten'", "a whole number"]),
        (("steps: 10", "steps: 010"), 2, ["'010'"]),
        (("steps: 10", "steps: 1.5"), 2, ["'1.5'", "whole number"]),
        (("1e-4", "nan"), 8, ["'nan'", "a number"]),
        (("1e-4", "[1]"), 8, ["a list", "a number"]),
        (("warmup: null", "warmup: maybe"), 9, ["'maybe'", "whole number"]),
        (("name: no", "fast: no"), 6, ["'no'", "true or false"]),
        (("name: no", "order: haltn"), 6, ["one of random, halton", "did you mean 'halton'"]),
        (("kind: box", "kind: bax"), 4, ["'bax'", "did you mean 'box'"]),
        (("kind: box", "corners: 4"), 4, ["kind", "round, box"]),
        (("sides: [3, 4]", "sides: [3, 4, 5]"), 5, ["'shape.sides'", "a list of 2"]),
        (("sides: [3, 4]", "sides: [3, x]"), 5, ["'shape.sides[1]' is 'x'"]),
        (("steps: 10", "steps: 1000\nfast: true"), 2, ["steps is 1000", "at most 100"]),
        (("name: no", "steps: 11"), 6, ["'steps' is given twice", ":2"]),
        (("name: no", "name: &a no"), 6, ["anchors and aliases"]),
        (("name: no", "name: *a"), 6, ["anchors and aliases"]),
        (("name: no", "name: !!python/object:os.system no"), 6, ["tags"]),
        (("name: no", "name: 'no"), None, ["not valid YAML"]),
        (("weights:", "---\nweights:"), 10, ["second document"]),
        (("weights: {l1: 1, lpips: .5}", "weights: 3"), 10, ["'weights' is '3'", "a section"]),
    ],
)
def test_each_mistake_is_one_line_with_its_place(
    tmp_path: Path, change: tuple[str, str], line: int | None, words: list[str]
) -> None:
    path = write(tmp_path, GOOD.replace(*change, 1))
    with pytest.raises(ConfigError) as caught:
        load(Recipe, path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}:{line}: " if line else f"{path}:")
    assert all(word in message for word in words), message


@pytest.mark.parametrize("override", ["steps", "=3", "a..b=1", "optimizer.lr=1", "steps=[1", "steps.deep=1", "steps="])
def test_wrong_overrides_name_the_command_line(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"^command line: ") as caught:
        load(Recipe, write(tmp_path, GOOD), [override])
    assert "\n" not in str(caught.value)


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'steps' is missing"):
        load(Recipe, write(tmp_path, "shape: {kind: box}"))


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00", b"a: " + b"x" * 70_000, b"[" * 60_000, b"- a\n- b\n", b"just words", b"a: \x07"):
        path = tmp_path / "bad.yaml"
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load(Optimizer, path)
        assert "\n" not in str(caught.value)
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError):
            load(Optimizer, path)
    assert load(Optimizer, write(tmp_path, "# nothing here\n")).value == Optimizer()


@given(st.text(max_size=200))
def test_no_text_does_anything_but_parse_or_explain(text: str) -> None:
    message = "x.yaml"
    try:
        parse(text, "x.yaml")
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message
    assert message.startswith("x.yaml")
