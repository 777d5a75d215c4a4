"""What a run made, as the folder that others are given: smaller, with settings, painted by another decoder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.pipeline.tiny import RING, write_model
from videogen.checkpoint import read_folder, write_folder
from videogen.cli import main
from videogen.models import load_prior, load_tokenizer, tokenizer_files
from videogen.pipeline import VideoPipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("export") / "model")


def painter(model: Path, place: Path, same_ids: bool) -> Path:
    """A tokenizer with a wider decoder than the model's."""
    tokenizer = load_tokenizer(model)
    config = replace(tokenizer.config, decoder_widths=tuple(width + 4 for width in tokenizer.config.decoder_widths))
    torch.manual_seed(5)
    weights = type(tokenizer.network)(config).state_dict()
    if same_ids:
        kept = {name for name in weights if not name.startswith("decoder.")}
        weights |= {name: tensor for name, tensor in tokenizer.network.state_dict().items() if name in kept}
    write_folder(place, tokenizer_files(config, tokenizer.clips, weights, "# a painter"))
    return place


def video(folder: Path) -> np.ndarray:
    pipe = VideoPipeline.from_pretrained(folder)
    return pipe(RING, num_frames=9, generator=3, output_type="uint8").frames[0]


def test_an_exported_model_generates_the_same_videos(model: Path, tmp_path: Path, capsys) -> None:
    assert main(["export", str(model), str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fingerprint"] == read_folder(tmp_path / "out").fingerprint
    assert np.array_equal(video(tmp_path / "out"), video(model))
    assert (tmp_path / "out" / "README.md").read_text() == (model / "README.md").read_text()


def test_settings_dtype_and_card_are_changed(model: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "card.md").write_text("# Ours\n")
    options = [
        "--dtype",
        "float16",
        "--card",
        str(tmp_path / "card.md"),
        "first_frames_step_multiplier=3",
        "guidance_scale=2.5",
    ]
    assert main(["export", str(model), str(tmp_path / "out"), *options]) == 0
    sampler, before = VideoPipeline.from_pretrained(tmp_path / "out").sampler, VideoPipeline.from_pretrained(model)
    assert sampler == replace(before.sampler, first_frames_step_multiplier=3, guidance_scale=2.5)
    now = load_prior(tmp_path / "out").network.state_dict()
    given = before.model.network.state_dict()
    assert all(torch.equal(now[name], given[name].half().float()) for name in given)
    assert (tmp_path / "out" / "README.md").read_text() == "# Ours\n"


def test_another_decoder_decodes_the_same_codes(model: Path, tmp_path: Path, capsys) -> None:
    other = painter(model, tmp_path / "painter", same_ids=True)
    assert main(["export", str(model), str(tmp_path / "out"), "--decoder", str(other)]) == 0
    before, after = load_prior(model), load_prior(tmp_path / "out")
    assert after.tokenizer.fingerprint == before.tokenizer.fingerprint
    assert after.tokenizer.config == load_tokenizer(other).config != before.tokenizer.config
    clip = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    codes, spec = encode_clip(before.tokenizer.network, clip), before.tokenizer.spec_of(16, 16)
    assert torch.equal(encode_clip(after.tokenizer.network, clip), codes)
    shown, expected = (each.network.decode(codes, spec)[0] for each in (after.tokenizer, load_tokenizer(other)))
    assert torch.equal(shown, expected)
    assert not np.array_equal(video(tmp_path / "out"), video(model))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere", "out"], 4, "nowhere: no such folder"),
        (["model", "taken"], 2, "taken: already exists; --overwrite"),
        (["model", "thesis", "--overwrite"], 2, "thesis: holds something that is no model"),
        (["model", "thesis/chapter.md"], 2, "a file is in the way"),
        (
            ["model", "out", "first_frames_step_multiplie=2"],
            2,
            "unknown key 'first_frames_step_multiplie'; did you mean 'first_frames_step_multiplier'?",
        ),
        (["model", "out", "steps=0"], 2, "steps = 0"),
        (["model", "out", "order=autoregressive"], 2, "use halton, "),
        (["model", "out", "--dtype", "int8"], 2, "'int8' is not one of"),
        (["model", "out", "--card", "nowhere.md"], 2, "'nowhere.md' does not exist"),
        (["model", "out", "--card", "bytes.md"], 2, "--card bytes.md: "),
        (["model", "out", "--decoder", "stranger"], 2, "decoder_only"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    model: Path, tmp_path: Path, monkeypatch, capsys, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(model)
    (tmp_path / "taken").symlink_to(model)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years")
    (tmp_path / "bytes.md").write_bytes(b"\x89PNG\xff")
    painter(model, tmp_path / "stranger", same_ids=False)
    there = sorted(tmp_path.rglob("*"))
    assert main(["export", *arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert sorted(tmp_path.rglob("*")) == there


def test_overwrite_replaces_a_model(model: Path, tmp_path: Path) -> None:
    assert main(["export", str(model), str(tmp_path / "out"), "first_frames_step_multiplier=2"]) == 0
    assert main(["export", str(tmp_path / "out"), str(tmp_path / "out"), "steps=3", "--overwrite"]) == 0
    sampler = VideoPipeline.from_pretrained(tmp_path / "out").sampler
    assert (sampler.first_frames_step_multiplier, sampler.steps) == (2, 3)
