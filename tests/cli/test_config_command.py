"""`videogen config show`: what a file comes to, and where each value came from."""

import json
from pathlib import Path

import pytest

from videogen.cli import main
from videogen.config import SCHEMAS
from videogen.config.presets import presets

Captured = pytest.CaptureFixture[str]
TEXT = "schema: playroom\nclips: 3\n# a remark\nheld_out_words: [hoop]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_each_value_has_its_origin(file: Path, capsys: Captured) -> None:
    assert main(["config", "show", str(file), "size=128"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "schema: playroom"
    told = {line.partition(":")[0]: line.partition(": ")[2].split("# ") for line in lines[1:]}
    assert [part.strip() for part in told["clips"]] == ["3", f"{file}:2"]
    assert [part.strip() for part in told["held_out_words"]] == ['["hoop"]', f"{file}:4"]
    assert [part.strip() for part in told["size"]] == ["128", "command line"]
    assert [part.strip() for part in told["frames"]] == ["17", "default"]


def test_as_json(file: Path, capsys: Captured) -> None:
    assert main(["config", "show", str(file), "size=128", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "playroom"
    assert (shown["config"]["clips"], shown["config"]["size"], shown["config"]["frames"]) == (3, 128, 17)
    assert shown["origins"]["clips"] == f"{file}:2"
    assert shown["origins"]["size"] == "command line"
    assert shown["origins"]["frames"] == "default"
    assert shown["config"].keys() == shown["origins"].keys()


def test_the_output_is_a_valid_configuration(file: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["config", "show", str(file), "size=128", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)["config"]
    assert main(["config", "show", str(file), "size=128"]) == 0
    again = tmp_path / "again.yaml"
    again.write_text(capsys.readouterr().out)
    assert main(["config", "show", str(again), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == before


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("clips: 3\n", [], ["schema"]),
        ("schema: playrom\n", [], ["'playrom'", "'playroom'"]),
        ("schema: playroom\nclip: 3\n", [], [":2:", "'clip'", "'clips'"]),
        ("schema: playroom\nclips: many\n", [], [":2:", "'clips'", "many"]),
        ("schema: playroom\nclips: 0\n", [], ["clips is 0"]),
        ("schema: playroom\nclips: [\n", [], ["small.yaml:"]),
        (TEXT, ["sizes=128"], ["'sizes'", "'size'"]),
        (TEXT, ["size"], ["'size'"]),
    ],
)
def test_an_error_names_the_line(
    text: str, overrides: list[str], words: list[str], file: Path, capsys: Captured
) -> None:
    file.write_text(text)
    assert main(["config", "show", str(file), *overrides]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("videogen: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def test_a_folder_is_not_a_configuration(tmp_path: Path, capsys: Captured) -> None:
    assert main(["config", "show", str(tmp_path)]) in (2, 3)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(tmp_path) in err
    assert "internal error" not in err


def test_the_configurations_of_this_project_are_valid(capsys: Captured) -> None:
    files = list(presets(SCHEMAS).values())
    assert files
    for path in files:
        assert main(["config", "show", str(path), "--json"]) == 0, capsys.readouterr().err
