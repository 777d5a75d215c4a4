"""A tokenizer judged on a set, and runs side by side."""

import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from tokenizer import laws
from tokenizer.model import VideoTokenizer
from tokenizer.precision import allow_tf32
from videogen.cli import main
from videogen.cli.models import usable_device
from videogen.data import build_index
from videogen.evaluate.clips import evaluate_tokenizer
from videogen.evaluate.plot import Line, chart, nice
from videogen.evaluate.selftest import check_laws
from videogen.models import TokenizerModel


def test_a_report_is_whole(model: TokenizerModel, data: Path, tmp_path: Path) -> None:
    figures = evaluate_tokenizer(model, data, out=tmp_path / "report")
    assert figures["clips"] == 4
    assert figures["frames"] == 4 * 9
    assert figures["tokens"] == 4 * 3 * 16
    assert figures["dead_codes"] == 1000 - round(figures["code_use"] * 1000)
    assert figures["lpips"] is None
    drawn = {place.name for place in (tmp_path / "report").iterdir()}
    assert drawn == {"figures.json", "psnr.svg", "codes.svg", "reconstructions.png", "reconstructions.mp4"}
    for name in ("psnr.svg", "codes.svg"):
        lines = ElementTree.parse(tmp_path / "report" / name).findall("{*}polyline")
        assert lines[0].get("points")


def test_fewer_clips_and_another_size(model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "tokenizer", str(data), "--model", str(model_folder), "--json", "--quiet"]
    assert main([*command, "--clips", "2", "--size", "24x40", "--frames", "5"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["tokens"] == 2 * 2 * 3 * 5
    assert main([*command, "--size", "25x40"]) == 2
    assert main([*command, "--fps", "nan"]) == 2
    assert main([*command, "--frames", "500"]) == 3
    assert "ask for fewer" in capsys.readouterr().err


def test_refused_clips_are_counted_however_many(
    model_folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data, tmp_path / "toys")
    for number in (0, 1):
        broken = tmp_path / "toys" / f"clip_00000{number}.mp4"
        broken.write_bytes(broken.read_bytes()[:-300])
    build_index(tmp_path / "toys", workers=1)
    assert main(["evaluate", "tokenizer", str(tmp_path / "toys"), "--model", str(model_folder), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(f"2 clips of {tmp_path / 'toys'} (2 refused: skipped)\n")


def test_exactness_is_promised_in_whole_float32(model: TokenizerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    def law(network: VideoTokenizer) -> laws.Verdict:
        return laws.Verdict("what is allowed", not any(allowed()), "")

    monkeypatch.setattr(laws, "every_code_survives", law)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    before = allowed()
    try:
        allow_tf32(convolutions=True, products=True)
        assert check_laws(model.network, seed=0)[-1] == laws.Verdict("what is allowed", True, "")
        assert allowed() == (True, True), "as it was"
        usable_device("cpu")  # what encode, reconstruct and evaluate begin with
        assert allowed() == (False, False)
        assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    finally:
        allow_tf32(*before)


def test_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, psnr in (("a", 20.0), ("b", 21.5)):
        (tmp_path / name).mkdir()
        lines = [{"step": step, "kind": "validation", "psnr": psnr + step} for step in (1, 2)]
        lines.append({"step": 2, "kind": "train", "l1": 0.1})
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["evaluate", "runs", *both, "--out", str(tmp_path / "curves.svg"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [(row["run"], row["step"], row["psnr"]) for row in rows] == [("a", 2, 22.0), ("b", 2, 23.5)]
    assert len(ElementTree.parse(tmp_path / "curves.svg").findall("{*}polyline")) == 2
    assert main(["evaluate", "runs", *both, "--figure", "beauty"]) == 3
    assert "has no 'beauty', but psnr" in capsys.readouterr().err
    assert main(["evaluate", "runs", str(tmp_path)]) == 3


def test_selftest_and_info(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", str(model_folder), "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert len(verdicts) >= 10
    assert all(verdict["held"] for verdict in verdicts)
    assert main(["info", str(model_folder), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["codes"] == 1000
    assert figures["grid"] == [4, 4]


def test_selftest_fails_where_a_law_is_broken(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tokenizer.blocks import PositionNorm

    def over_time(self, x_BTHWC):  # type: ignore[no-untyped-def]
        return x_BTHWC - x_BTHWC.mean((1, 2, 3), keepdim=True)

    monkeypatch.setattr(PositionNorm, "forward", over_time)
    assert main(["selftest", str(model_folder)]) == 1
    said = capsys.readouterr()
    assert "BROKEN  the encoder is causal" in said.out
    assert "laws do not hold" in said.err


def test_charts_hold_whatever_numbers_there_are() -> None:
    for y in ([], [1.0], [2.0, 2.0], [float("nan"), 3.0]):
        ElementTree.fromstring(chart("a <title>", "x", "y", [Line("one & two", list(range(len(y))), y)]))
    assert [nice(step) for step in (0.9, 1.0, 1.1, 3, 70)] == [1, 1, 2, 5, 100]
