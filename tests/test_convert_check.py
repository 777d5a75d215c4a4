"""`videogen convert --check`: a converted tokenizer beside the published classes, where diffusers is installed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.tokenizer.foreign import cosmos, emu3
from tests.tokenizer.foreign.test_vidtok import SMALL, model_of
from tests.tokenizer.foreign.test_vidtok_weights import published
from tokenizer.foreign import FOREIGN
from tokenizer.quantize import RoundedFSQConfig
from videogen.cli import main

VIDTOK = replace(SMALL, version="1.1", widths=(8, 16, 16), quantizer=RoundedFSQConfig((8,) * 4))


def write_source(kind: str, folder: Path) -> tuple[str, ...]:
    """A file of published tensors; the arguments that say what they do not."""
    if kind == "cosmos":
        tensors, options = cosmos.published(cosmos.cosmos_model(cosmos.small_cosmos(window=8))), ("window=8",)
    elif kind == "emu3":
        tensors, options = emu3.published(emu3.emu3_model(emu3.SMALL)), ()
    else:
        tensors, options = published(model_of(VIDTOK)), ("version=1.1",)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "source.safetensors")
    return options


def convert(kind: str, folder: Path, *options: str) -> int:
    return main(["convert", kind, str(folder / "source.safetensors"), str(folder / "out"), *options])


@pytest.mark.parametrize("kind", ["cosmos", "vidtok", "emu3"])
def test_a_conversion_is_the_published_network_and_a_wrong_one_is_not(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind != "emu3":
        pytest.importorskip("diffusers", reason="needs diffusers")
    options = (*write_source(kind, tmp_path), "--check", "--size", "64x64", "--json")
    assert convert(kind, tmp_path, *options) == 0
    compared = json.loads(capsys.readouterr().out)["compared"]
    assert 0 < compared["latents"] < 1e-4
    assert 0 < compared["frames"] < 1e-4
    assert compared["equal_codes"] > 0.98
    weights = FOREIGN[kind].weights

    def wrong(*given: Any) -> Any:
        found = weights(*given)
        name = next(each for each in reversed(found) if each.startswith("decoder.") and each.endswith("weight"))
        return {**found, name: 1.01 * found[name]}

    monkeypatch.setitem(FOREIGN, kind, replace(FOREIGN[kind], weights=wrong))
    assert convert(kind, tmp_path, *options, "--overwrite") == 4
    shown = capsys.readouterr()
    assert json.loads(shown.out)["compared"]["frames"] > 1e-3
    assert shown.err.endswith("differs from the published classes by more than 0.001; do not use it\n")


def test_what_cannot_be_compared_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("videogen.models.compare.find_spec", lambda name: None)
    options = write_source("vidtok", tmp_path)
    assert convert("vidtok", tmp_path, *options, "--check") == 2
    assert convert("vidtok", tmp_path, "version=1.0", "--check") == 2
    assert [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()] == [
        "--check compares vidtok with diffusers, which is not installed; `pip install diffusers`",
        "--check: diffusers has version 1.1 of vidtok alone, and would decode 1.0 wrongly",
    ]
    assert not (tmp_path / "out").exists()
