"""All commands in the recipes are valid."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from videogen.cli import main
from videogen.config import resolve

CHECKOUT = Path(__file__).parents[1]
RECORDER = '#!/bin/sh\nshift 2\nfor word in "$@"; do printf "%s\\t" "$word"; done >> "$COMMANDS"\necho >> "$COMMANDS"\n'


@pytest.mark.parametrize("recipe", ["playroom.sh", "demo_training.sh"])
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
