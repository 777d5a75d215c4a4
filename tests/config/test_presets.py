"""Presets are found by name from any folder, and are in the installed package."""

import os
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser  # type: ignore[import-untyped]
from setuptools import Distribution

from videogen.cli import main
from videogen.config import SCHEMAS, ConfigError, resolve
from videogen.config.presets import LAUNCHERS, PRESETS, find_config, presets, purpose, short_names

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]


def test_they_are_the_files_of_the_checkout() -> None:
    assert PRESETS.resolve() == ROOT / "configs"
    found = {place.resolve() for place in presets([*SCHEMAS, LAUNCHERS]).values()}
    assert found == set((ROOT / "configs").rglob("*.yaml"))


def test_they_are_installed_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made = Distribution()
    made.parse_config_files([str(ROOT / "pyproject.toml")])
    build = made.get_command_obj("build_py")
    build.ensure_finalized()
    build.manifest_files = {}  # what a manifest would add
    installed = {Path(name) for name in build.find_data_files("videogen", "videogen")}
    for place in presets([*SCHEMAS, LAUNCHERS]).values():
        assert place.relative_to(ROOT) in installed


@pytest.mark.parametrize("word", ["video_128", "tokenizer/video_128", "video_128.yaml"])
def test_by_name(word: str) -> None:
    schema, resolved = resolve(word)
    assert schema == "tokenizer"
    assert resolved.value == resolve(ROOT / "configs/tokenizer/video_128.yaml")[1].value
    assert resolved.origins["data.fps"].startswith("tokenizer/video_128.yaml:")


def test_a_name_of_two_is_settled_by_what_is_wanted() -> None:
    for schema in ("tokenizer", "prior"):
        assert resolve("playroom_64_cpu", expected=schema)[0] == schema
    with pytest.raises(ConfigError, match="tokenizer/playroom_64_cpu, prior/playroom_64"):
        resolve("playroom_64_cpu")


def test_a_file_comes_before_a_preset_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("video_128").mkdir()  # a folder of that name, such as one of videos, is no file
    assert resolve("video_128")[0] == "tokenizer"
    Path("video_128").rmdir()
    Path("video_128").write_text("schema: playroom\nclips: 3\n")
    assert resolve("video_128")[0] == "playroom"


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("video_12", ["no such file, and no preset of that name", "did you mean 'video_128'?"]),
        ("mine", ["no preset of that name; known: ", "video_128", "playroom_64_cpu"]),
        ("configs/tokenizer/video_128.yaml", ["did you mean the preset 'tokenizer/video_128'?"]),
    ],
)
def test_what_is_not_there_is_told_with_what_is(word: str, words: list[str], tmp_path: Path, capsys: Captured) -> None:
    before = Path.cwd()
    try:
        os.chdir(tmp_path)
        assert main(["train", "tokenizer", word]) == 2
    finally:
        os.chdir(before)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(part in said for part in words), said


def test_help_and_list_name_them(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        raise SystemExit(main(["train", "prior", "--help"]))
    assert "video_80m" in capsys.readouterr().out
    assert main(["config", "list"]) == 0
    told = capsys.readouterr().out
    for name in short_names(presets(SCHEMAS)):
        assert name in told
    assert "\nvideo_64_cpu" not in told, "there are two of them"
    assert "prior/video_64_cpu" in told
    assert main(["config", "path", "video_128"]) == 0
    assert Path(capsys.readouterr().out.strip()).samefile(ROOT / "configs/tokenizer/video_128.yaml")


def test_each_says_in_a_sentence_what_it_is_for() -> None:
    for name, place in presets(SCHEMAS).items():
        assert 20 < len(purpose(place)) < 220, name


def test_the_launcher_understands_its_file() -> None:
    place = find_config("fsdp2", [LAUNCHERS])
    given = launch_command_parser().parse_args(["--config_file", str(place), "-m", "videogen"])
    settings, _, _ = _validate_launch_command(given)
    assert (settings.use_fsdp, settings.fsdp_version, settings.num_processes) == (True, 2, 8)
    assert settings.mixed_precision == "bf16"
    assert settings.fsdp_transformer_layer_cls_to_wrap == "Block"
