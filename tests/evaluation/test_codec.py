"""`videogen evaluate codec`."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cli.test_first_tokens import write_model as write_line_model
from tests.evaluation.models import write_whole_model
from videogen.cli import main
from videogen.evaluation.codec import bench
from videogen.evaluation.codec.conventional import CODECS, ConventionalCodec, color_conversions, decode, encode
from videogen.evaluation.codec.evaluate import evaluate_codec
from videogen.evaluation.codec.variants import CodecPlan
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.evaluation.tokenizer.metrics import psnr
from videogen.models import load_prior, load_tokenizer

Captured = pytest.CaptureFixture[str]
FEW = tuple(replace(codec, ladder=(20, 51)) for codec in CODECS[:1])
PIXELS = 5 * 16 * 16


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole_model(tmp_path_factory.mktemp("whole"))


def test_a_report_of_a_prior(whole: Path, data: Path, tmp_path: Path, capsys: Captured) -> None:
    command = ["evaluate", "codec", str(data), "--model", str(whole), "--clips", "2", "--out", str(tmp_path / "seen")]
    assert main([*command, "--steps", "2,1", "--json", "--quiet"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((tmp_path / "seen" / "figures.json").read_text())
    assert [row["name"] for row in figures["variants"]] == ["prior, 1 step", "prior, 2 steps", "adaptive", "flat"]
    assert figures["differing_clips"] == 0
    quality = evaluate_tokenizer(load_tokenizer(whole), data, spec=load_prior(whole).clips, most=2)
    for row in figures["variants"]:
        assert (row["psnr"], row["ssim"]) == pytest.approx((quality["psnr"], quality["ssim"]))
        assert row["lpips"] is None
        assert row["latent_frames"] == 2 * 2
        assert row["payload_bits_per_pixel"] == 8 * row["payload"] / (2 * PIXELS)
        assert row["bits_per_pixel"] == 8 * row["bytes"] / (2 * PIXELS)
        assert row["bytes"] > row["payload"] > 0
        assert 0 < row["coder_share"] < 1
        assert row["encode_latent_frames_per_second"] > 0
    flat = figures["variants"][-1]["payload"]
    assert 0 <= flat - quality["tokens"] * quality["bits_per_token"] / 8 <= 2 * 4, "words of four bytes"
    assert [codec["name"] for codec in figures["codecs"]] == ["H.264", "HEVC", "VP9", "AV1"]
    for codec in figures["codecs"]:
        best, worst = codec["points"][0], codec["points"][-1]
        assert best["psnr"] > worst["psnr"]
        assert best["payload"] > worst["payload"]
        assert all(point["bytes"] > point["payload"] for point in codec["points"])
        assert 0 < codec["still_bits_per_pixel"] <= worst["payload_bits_per_pixel"] * 1.05
    assert len(figures["comparison"]) == 4 * 4
    page = (tmp_path / "seen" / "README.md").read_text()
    assert "to the bit" in page
    assert "| prior, 2 steps | AV1 |" in page
    for name, lines in (("rate.svg", 8), ("steps.svg", 1)):
        assert name in page
        assert len(ElementTree.parse(tmp_path / "seen" / name).findall("{*}polyline")) == lines
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_tokenizer_of_nested_tokens_has_a_curve(data: Path, tmp_path: Path) -> None:
    model = load_tokenizer(write_line_model(tmp_path / "line"))
    figures = evaluate_codec(model, data, CodecPlan(("flat",)), most=1, codecs=FEW)
    rows = figures["variants"]
    assert [row["tokens"] for row in rows] == [1, 2, 4, 8]
    assert {row["curve"] for row in rows} == {"flat"}
    assert [row["psnr"] for row in rows] == pytest.approx(list(tokens_quality(model, data, tmp_path).values()))
    (compared,) = figures["comparison"]
    assert len(compared["payload"]["points"]) == 4
    assert figures["differing_clips"] == 0


def tokens_quality(model: Any, data: Path, tmp_path: Path) -> dict[str, float]:
    found = evaluate_tokenizer(model, data, most=1, out=tmp_path / "tokenizer")["psnr_of_first_tokens"]
    return dict(found)


def test_a_prior_that_codes_token_by_token_has_one_point(data: Path, tmp_path: Path) -> None:
    model = load_prior(write_whole_model(tmp_path, "autoregressive"))
    (row,) = evaluate_codec(model, data, CodecPlan(("prior",)), most=1, codecs=())["variants"]
    assert (row["name"], row["steps"], row["differing_clips"]) == ("prior, token by token", None, 0)


def test_a_file_that_gives_other_frames_back_is_noticed(
    whole: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def one_gray_level_off(*given: Any) -> torch.Tensor:
        own = genuine(*given)
        own[-1, 0, 0, 0] ^= 1
        return own

    genuine = bench.own_reconstruction
    monkeypatch.setattr(bench, "own_reconstruction", one_gray_level_off)
    monkeypatch.setattr("videogen.evaluation.codec.evaluate.CODECS", ())
    command = ["evaluate", "codec", str(data), "--model", str(whole), "--clips", "2", "--probabilities", "flat"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "NOT EXACT: 2 files" in said.out
    assert "2 files did not give back" in said.err


def test_codecs_that_cannot_be_measured_are_left_out(whole: Path, data: Path) -> None:
    absent = ConventionalCodec("Absent", "libabsent", "mp4", (1,), {})
    refusing = ConventionalCodec("Refusing", "libx264", "mp4", (1,), {"preset": "nothing"})
    plan = CodecPlan(("flat",))
    figures = evaluate_codec(load_tokenizer(whole), data, plan, most=1, codecs=(absent, refusing, *FEW))
    assert [codec["name"] for codec in figures["codecs"]] == ["H.264"]
    assert figures["left_out"].keys() == {"Absent", "Refusing"}
    assert "without libabsent" in figures["left_out"]["Absent"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0,4"], "no list of whole numbers"),
        (["--captions"], "no prior that takes captions"),
        (["--size", "20x20"], "multiples of 8"),
    ],
)
def test_what_a_model_cannot_do_is_said(
    options: list[str], message: str, whole: Path, data: Path, capsys: Captured
) -> None:
    assert main(["evaluate", "codec", str(data), "--model", str(whole), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_tokenizer_without_a_prior_has_no_prior_to_measure(model_folder: Path, data: Path, capsys: Captured) -> None:
    command = ["evaluate", "codec", str(data), "--model", str(model_folder), "--probabilities", "prior"]
    assert main(command) == 2
    assert "has no prior" in capsys.readouterr().err


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.encoder)
def test_conventional_codecs_give_every_frame_back(codec: ConventionalCodec) -> None:
    across, down = np.meshgrid(np.arange(32), np.arange(32))
    frames = np.stack([np.stack([4 * across + 3 * t, 4 * down, 128 + 0 * down], -1) for t in range(7)]).astype(np.uint8)
    for colors in color_conversions():
        encoded = encode(codec, frames, 8.0, codec.ladder[0], colors)
        found, seconds = decode(encoded.file, colors)
        assert found.shape == frames.shape
        assert float(psnr(torch.from_numpy(found), torch.from_numpy(frames)).min()) > 30, "in this order"
        assert 0 < encoded.packets < len(encoded.file)
        assert encoded.seconds >= 0
        assert seconds >= 0
        assert b"x264 -" not in encoded.file
        assert b"x265 (" not in encoded.file
