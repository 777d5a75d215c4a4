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


NESTED = """\
schema: tokenizer
data: {train: toys, fps: 8, validation_share: 0.3, validation_clips: 2}
phases:
  - {from_step: 0, height: 16, width: 16, frames: 5}
tokenizer:
  f_t: 4
  f_s: 8
  front: haar
  front_t: 4
  front_s: 4
  encoder_widths: [8, 12]
  encoder_blocks: [1, 1]
  decoder_widths: [8, 12]
  decoder_blocks: [1, 1]
  attention: true
  kernel_t: 2
  spread_weight: 0.1
  quantizer:
    kind: product
    dim: 8
    groups: 2
    quantizer:
      kind: residual
      depth: 3
      dropout: 0.5
      quantizer: {kind: vq, size: 16, dim: 4}
loss: {l1: 1, l2: 1, perceptual: null, adversarial: null}
optimizer: {learning_rate: 1e-3, warmup: 1, schedule: cosine}
training: {steps: 3, batch_size: 2}
"""


def test_a_quantizer_of_quantizers_comes_back_as_it_was(file: Path, tmp_path: Path, capsys: Captured) -> None:
    file.write_text(NESTED)
    assert main(["config", "show", str(file), "tokenizer.quantizer.quantizer.depth=5"]) == 0
    again = tmp_path / "again.yaml"
    again.write_text(capsys.readouterr().out)
    assert main(["config", "show", str(again), "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["tokenizer"]["quantizer"]["quantizer"]["depth"] == 5
    assert config["tokenizer"]["quantizer"]["quantizer"]["quantizer"]["kind"] == "vq"


@pytest.mark.parametrize(
    ("now", "then", "line", "words"),
    [
        ("depth: 3", "depth: 0", 24, "tokenizer.quantizer.quantizer.depth = 0 must be at least 1"),
        ("dropout: 0.5", "dropout: 1.5", 25, "tokenizer.quantizer.quantizer.dropout = 1.5 is a share"),
        ("dropout: 0.5", "scale: 0", 25, "tokenizer.quantizer.quantizer.scale = 0 must be above 0"),
        ("groups: 2", "groups: 3", 21, "tokenizer.quantizer.groups = 3 do not divide the 8 channels (dim)"),
        ("groups: 2", "groups: 4", 22, "tokenizer.quantizer.quantizer is a quantizer of 4 channels; 4 groups of 8"),
        ("size: 16", "size: 1", 26, "tokenizer.quantizer.quantizer.quantizer.size = 1 must lie in 2"),
        ("kind: vq", "kind: vk", 26, "'tokenizer.quantizer.quantizer.quantizer.kind' is 'vk'; known: fsq,"),
        ("kind: residual", "kind: residual\n      level: 3", 24, "unknown key 'tokenizer.quantizer.quantizer.level'"),
    ],
)
def test_a_bad_setting_of_a_quantizer_of_quantizers_names_its_line(
    now: str, then: str, line: int, words: str, file: Path, capsys: Captured
) -> None:
    file.write_text(NESTED.replace(now, then))
    assert main(["config", "show", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{file}:{line}: " in err, err
    assert words in err


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
