"""On a real Ray cluster evaluations and labs have the figures and files that they have here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.models import write_whole_model
from tests.executors.conftest import killer
from tests.lab.conftest import BASE, RECIPE
from videogen.data import build_index
from videogen.evaluation.generation.drift import DriftPlan
from videogen.evaluation.generation.networks import Networks, ReferenceClips, make_evaluator
from videogen.evaluation.generation.plan import EvaluationPlan
from videogen.evaluation.generation.prompts import read_prompts
from videogen.evaluation.generation.report import evaluate_generation
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.evaluation.generation.workers import evaluation_by
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.executors.base import Executor
from videogen.lab.folder import Lab
from videogen.lab.parallel import run_parallel
from videogen.lab.runner import prepare_lab, run_lab
from videogen.models import load_tokenizer
from videogen.pipeline import VideoPipeline
from videogen.playroom.write import PlayroomConfig, write_playroom

pytestmark = pytest.mark.services


def files(folder: Path) -> dict[str, bytes]:
    return {place.name: place.read_bytes() for place in folder.iterdir()}


@pytest.mark.parametrize("what", ["worker", "process"])
def test_a_tokenizer_has_the_same_report(ray_executor: Executor, tmp_path: Path, what: str) -> None:
    write_playroom(tmp_path / "clips", PlayroomConfig(clips=20, size=64, frames=17))
    build_index(tmp_path / "clips", workers=1)
    model = load_tokenizer("playroom")
    figures = evaluate_tokenizer(model, tmp_path / "clips", out=tmp_path / "here")
    there: dict[str, Any] = {"executor": ray_executor, "on_progress": killer(what)}
    assert evaluate_tokenizer(model, tmp_path / "clips", out=tmp_path / "there", **there) == figures
    assert files(tmp_path / "there") == files(tmp_path / "here")


@pytest.mark.parametrize("what", ["worker", "process"])
def test_generated_videos_have_the_same_report(ray_executor: Executor, tmp_path: Path, what: str) -> None:
    pipe, prompts = VideoPipeline.from_pretrained(write_whole_model(tmp_path)), read_prompts("playroom:9")
    frames, drift = pipe.frame_count(None), DriftPlan(2, 20, 5, 4)
    plan = EvaluationPlan((SamplerVariant("default", {}),), frames, 2, 7, drift)
    true = ReferenceClips(None, 130, replace(pipe.model.clips, frames=frames))
    figures = []
    for out, executor in {"here": None, "there": ray_executor}.items():
        evaluator = make_evaluator(pipe.fps, frames, Networks(), true, executor)
        evaluate = executor and evaluation_by(executor, pipe, prompts, plan, evaluator, Networks())
        progress = killer(what) if executor else None
        figures.append(evaluate_generation(pipe, prompts, plan, evaluator, tmp_path / out, progress, evaluate))
        for row in figures[-1]["rows"]:
            del row["frames_per_second"]
        (tmp_path / out / "figures.json").unlink()
    assert figures[0] == figures[1]
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_a_lab_has_the_same_figures(ray_executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("recipe.yaml").write_text(RECIPE.replace("charts:\n", "  twin: {tokenizer_of: small}\ncharts:\n"))
    here, there = (Lab.open(Path("recipe.yaml"), tmp_path / name) for name in ("here", "there"))
    run_lab(here, False, lambda *at: None, lambda *at: None, lambda line: None)
    prepare_lab(there, False, lambda *at: None, lambda line: None)
    notes: list[str] = []
    run_parallel(there, ray_executor, lambda *at: None, notes.append)
    assert [note.partition(":")[0].partition("  ")[2] for note in notes][-1] == "twin, seed 0"
    assert measured(there) == measured(here)


def measured(lab: Lab) -> list[Any]:
    """Of every training, without times."""
    found = [json.loads((lab.seed_folder(variant, 0) / "figures.json").read_text()) for variant in lab.variants]
    for figures in found:
        del figures["cost"]
    return found
