"""The commands from nothing to videos: data, tokenizer, prior, generation."""

import json
from pathlib import Path

import pytest

from videogen.cli import main

CONFIGS = Path(__file__).parent.parent / "configs"
SHORT = "phases=[{from_step: 0, frames: 2}]"  # latent frames: five pictures
SHUFFLED = ", prompts shuffled"


def run(*arguments: str) -> None:
    assert main([*arguments, "--quiet"]) == 0


@pytest.mark.slow
def test_training_from_scratch_gives_videos_that_follow_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six minutes on two cores, at 32 x 32 pixels; so young a prior knows the ground, and hardly anything else."""
    monkeypatch.chdir(tmp_path)
    run("data", "playroom", "toys", "--clips", "3000", "--frames", "9", "--size", "32", "--seed", "1")
    run("data", "index", "toys")
    seeing = "phases=[{from_step: 0, height: 32, width: 32, frames: 9, image_share: 0.2}]"
    tokenizer = str(CONFIGS / "tokenizer" / "playroom_64_cpu.yaml")
    steps = ("training.steps=400", "training.validate_every=0", "training.sample_every=0")
    run("train", "tokenizer", tokenizer, "data.train=toys", seeing, *steps, "--run", "tokenizer")
    run("encode", "toys", "tokens", "--model", "tokenizer")
    prior = str(CONFIGS / "prior" / "playroom_64_cpu.yaml")
    steps = ("training.steps=600", "training.batch_size=16", "training.validate_every=0", "training.sample_every=0")
    given = ("data.train=tokens", SHORT, *steps)
    run("train", "prior", prior, *given, "--tokenizer", "tokenizer", "--run", "prior")
    made = ("--prompts", "playroom:48", "--seconds", "0.625", "--drift-frames", "0", "--guidance-scale", "2")
    run("evaluate", "generation", "--model", "prior", "--out", "report", *made)
    rows = json.loads(Path("report/figures.json").read_text())["rows"]
    judged = {row["name"]: row["oracle"] for row in rows}
    shuffled = next(name for name in judged if name.endswith(SHUFFLED))
    made_of_it, by_chance = judged[shuffled.removesuffix(SHUFFLED)], judged[shuffled]
    assert made_of_it["attributes"] > by_chance["attributes"] + 0.1
    assert made_of_it["by_attribute"]["ground colour"] > by_chance["by_attribute"]["ground colour"] + 0.5
