"""The installed packages are those of this checkout, and the command line is light."""

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("interfaces", "prior", "sampling", "tokenizer", "videogen")
HEAVY = ("torch", "transformers", "accelerate", "av", "decord", "PIL", "numpy")


def test_the_packages_lie_side_by_side() -> None:
    # Other distributions named tokenizer, prior and videogen exist; picking one of them up would go unnoticed for long.
    for name in PACKAGES:
        assert Path(importlib.import_module(name).__file__ or "").parent == ROOT / name
        assert (ROOT / name / "py.typed").exists()


def test_every_folder_with_modules_is_listed_for_installation() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(find_packages(str(ROOT), include=settings["tool"]["setuptools"]["packages"]["find"]["include"]))
    found = {
        ".".join(file.parent.relative_to(ROOT).parts) for package in PACKAGES for file in (ROOT / package).rglob("*.py")
    }
    assert listed == found


def test_no_dependency_pulls_torchvision_in() -> None:
    pins = (ROOT / "constraints.txt").read_text().lower()
    assert "torchvision" not in pins
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("torchvision")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["data", "--help"], ["config", "show", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import json, sys; from videogen.cli import main; code = main(sys.argv[1:]);"
        "print('\\n' + json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    code, modules = json.loads(result.stdout.splitlines()[-1])
    assert code == 0
    assert not set(HEAVY) & set(modules)


def test_the_packages_agree_with_the_constraints() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    needed = settings["project"]["dependencies"] + settings["project"]["optional-dependencies"]["dev"]
    names = {requirement.split(";")[0].split(">")[0].split("=")[0].strip().lower() for requirement in needed}
    assert names <= pinned
