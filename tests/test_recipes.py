"""All commands in the recipes are valid."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tokenizer.networks.kinds import make_tokenizer
from videogen.cli import main
from videogen.config import resolve
from videogen.lab.clips import clip_settings
from videogen.lab.folder import Lab

CHECKOUT = Path(__file__).parents[1]
LAB = [place for place in sorted((CHECKOUT / "recipes" / "lab").glob("*.yaml")) if "schema: lab" in place.read_text()]
RECORDER = '#!/bin/sh\nshift 2\nfor word in "$@"; do printf "%s\\t" "$word"; done >> "$COMMANDS"\necho >> "$COMMANDS"\n'


@pytest.mark.parametrize("recipe", ["playroom.sh", "playroom_further.sh", "demo_training.sh"])
def test_commands_and_configurations(recipe: str, tmp_path: Path) -> None:
    for word in ("recipes", "configs"):
        shutil.copytree(CHECKOUT / word, tmp_path / word)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(RECORDER)
    python.chmod(0o755)
    recorded = tmp_path / "commands"
    environment = {**os.environ, "COMMANDS": str(recorded)}
    subprocess.run([tmp_path / "recipes" / recipe], check=True, env=environment, stdout=subprocess.DEVNULL)
    commands = [line.rstrip("\t").split("\t") for line in recorded.read_text().splitlines()]
    assert {command[0] for command in commands} >= {"data", "train"}
    for command in commands:
        words = [word for word in command if not word.startswith("-")]
        names = words[:2] if words[0] in ("data", "train", "evaluate") else words[:1]
        assert main([*names, "--help"]) == 0
        if names[0] == "train":
            config, *rest = words[2:]
            overrides = [word for word in rest if "=" in word]
            assert resolve(tmp_path / config, overrides, expected=names[1])[0] == names[1]


@pytest.mark.parametrize("place", LAB, ids=lambda place: place.stem)
def test_a_lab_can_be_made_of_it(place: Path, tmp_path: Path) -> None:
    lab = Lab.open(place, tmp_path)
    assert len({variant.label for variant in lab.variants}) == len(lab.variants) >= 2, "a label stands for one variant"
    names = {name for variant in lab.variants for name in (variant.name, variant.group)}
    drawn = (lab.recipe.pictures, *lab.recipe.charts)
    assert {name for each in drawn for name in each.only} <= names
    for variant in lab.variants:
        with torch.device("meta"):
            make_tokenizer(variant.config(clip_settings(lab.recipe.data, tmp_path)).tokenizer)
    head = place.read_text().split("schema:")[0]
    assert f"videogen lab {place.relative_to(CHECKOUT)} --out runs/{place.stem}" in head
