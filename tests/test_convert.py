"""Converts folders of version 1 to version 2, and compares with the results of the old program."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.models import PriorModel, convert_model, load_prior, load_tokenizer
from videogen.pipeline import VideoPipeline
from videogen.tokens import TokenSet

OLD = Path(__file__).parent / "version_1"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    assert main(["convert", str(OLD / "model"), str(folder / "model")]) == 0
    tokens = [str(OLD / "tokens"), str(folder / "tokens")]
    assert main(["convert", *tokens, "--model", str(folder / "model")]) == 0
    return folder


def packed(codes: torch.Tensor) -> torch.Tensor:
    """The integers of version 1: codes of 8, 8 and 8, the least significant first."""
    return (codes * torch.tensor([1, 8, 64])).sum(-1).unflatten(-1, (2, 3))


def test_a_converted_model_generates_the_same_video(new: Path) -> None:
    pipe = VideoPipeline.from_pretrained(new / "model")
    settings = {"num_frames": 13, "generator": 3}
    codes = pipe(["a red ring"], output_type="codes", **settings).frames
    assert packed(torch.as_tensor(np.asarray(codes))).tolist() == EXPECTED["ids"]
    frames = pipe(["a red ring"], output_type="uint8", **settings).frames
    assert hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest() == EXPECTED["frames"]


def test_a_converted_token_set_has_the_same_tokens(new: Path) -> None:
    tokens = TokenSet.open(new / "tokens", load_tokenizer(new / "model").fingerprint)
    assert [packed(tokens.clip(row).codes).tolist() for row in range(len(tokens))] == EXPECTED["tokens"]


def test_weights_and_fingerprint_stay_and_clips_are_counted_in_pixels(new: Path) -> None:
    for name in ("tokenizer/model.safetensors", "prior/model.safetensors", "text/tokenizer.json", "README.md"):
        assert (new / "model" / name).read_bytes() == (OLD / "model" / name).read_bytes()
    model, was = load_prior(new / "model"), json.loads((OLD / "model" / "prior" / "config.json").read_text())
    assert model.tokenizer.fingerprint == was["tokenizer"]
    assert (model.clips.height, model.clips.width, model.clips.frames) == (16, 24, 9)
    assert model.clips == model.tokenizer.clips
    assert (model.spec.codebooks, model.latent_frames) == ((8, 8, 8), 3)


def test_every_reader_of_version_1_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for folder, code in (("model", 4), ("tokens", 3)):
        assert main(["info", str(OLD / folder)]) == code
        said = capsys.readouterr().err
        assert f"`videogen convert {OLD / folder} NEW" in said
        assert said.count("\n") == 1
    with pytest.raises(CheckpointError, match="videogen convert"):
        load_tokenizer(OLD / "model")
    with pytest.raises(DataError, match="videogen convert"):
        TokenSet.open(OLD / "tokens")


def test_the_model_of_a_run_and_a_tokenizer_alone_are_converted(tmp_path: Path) -> None:
    shutil.copytree(OLD / "model", tmp_path / "run" / "model")
    assert isinstance(convert_model(tmp_path / "run", tmp_path / "whole"), PriorModel)
    alone = {name: OLD / "model" / name for name in ("tokenizer/config.json", "tokenizer/model.safetensors")}
    index = {"format": "videogen-model", "version": 1, "parts": ["tokenizer"]}
    write_folder(tmp_path / "alone", {**alone, "model_index.json": index})
    assert convert_model(tmp_path / "alone", tmp_path / "new").config == load_tokenizer(tmp_path / "whole").config


def test_a_failed_conversion_leaves_nothing(new: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="version 2"):
        convert_model(new / "model", tmp_path / "again")
    with pytest.raises(UsageError, match="model"):
        convert_model(OLD / "model", new / "model")
    files = {path.relative_to(OLD / "model").as_posix(): path for path in (OLD / "model").rglob("*") if path.is_file()}
    files.pop("MANIFEST.json")
    config = json.loads((OLD / "model" / "prior" / "config.json").read_text())
    for change, said in (
        ({"digits": [64, 8]}, "64"),
        ({"positions": "line"}, "line"),
        ({"head_width": 8}, "head_width"),
    ):
        broken = {**config, "network": {**config["network"], **change}}
        write_folder(tmp_path / "old", {**files, "prior/config.json": broken})
        with pytest.raises(CheckpointError, match=said):
            convert_model(tmp_path / "old", tmp_path / "new")
        assert not (tmp_path / "new").exists()
    assert main(["convert", str(OLD / "model"), str(tmp_path / "new"), "--model", str(new / "model")]) == 2
