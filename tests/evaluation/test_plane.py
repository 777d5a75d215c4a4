"""Codebooks of the plane: real quantizers on points that wander, and the film of them."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from videogen.evaluation.lab.plane import PlaneConfig, train_rivals

RECIPE = Path(__file__).parents[2] / "recipes" / "lab" / "plane.py"


def run(*arguments: str) -> int:
    """The exit code of the recipe."""
    before, sys.argv = sys.argv, [str(RECIPE), *arguments]
    try:
        runpy.run_path(str(RECIPE), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    raise AssertionError("it ends with an exit code")


def test_revival_keeps_codes_alive_that_others_lose() -> None:
    *_, (steps, states, points_N2) = train_rivals(PlaneConfig(codes=32, steps=300, every=150, points=128))
    alive = {state.name: state.alive for state in states}
    assert steps == 300
    assert alive["moving averages, revival"] > 1.5 * alive["moving averages"]
    assert alive["k-means first"] < 32
    for state in states:
        nearest_N = torch.cdist(points_N2, state.codes_V2).argmin(1)
        assert len(nearest_N.unique()) == state.alive


def test_the_recipe_writes_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "plane.gif"
    small = ["--steps", "6", "--every", "2", "--codes", "8", "--side", "40"]
    assert run(str(out), *small) == 0
    assert "of 8 codes live at the end" in capsys.readouterr().out
    with Image.open(out) as film, Image.open(out.with_suffix(".png")) as still:
        assert film.n_frames == 3
        assert film.size == still.size
    assert run(str(out), *small) == 2
    assert "--overwrite replaces them" in capsys.readouterr().err
    assert run(str(tmp_path / "b.gif"), "--codes", "1") == 2
    assert "codes = 1 must be at least 2" in capsys.readouterr().err
    assert run(str(tmp_path / "b.gif"), "--steps", "4") == 2
    assert "steps = 4" in capsys.readouterr().err
    assert run(str(tmp_path / "b.mp4")) == 2
