"""Evaluation of a tokenizer on a dataset, comparison of runs, info and selftest."""

import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from interfaces.verdict import Verdict
from tests.executors.inline import InlineExecutor
from tokenizer import laws
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.precision import allow_tf32, tf32_backends
from tokenizer.quantize import BSQConfig, FSQConfig, LFQConfig
from videogen.cli import main
from videogen.data import build_index
from videogen.evaluation.report.line_charts import Series, line_chart, nice_step
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
from videogen.models import TokenizerModel
from videogen.system.devices import use_device
from videogen.tokens import TokenSet


def test_a_report_has_all_figures_and_charts(model: TokenizerModel, data: Path, tmp_path: Path) -> None:
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


def test_workers_write_the_same_report(model: TokenizerModel, data: Path, tmp_path: Path) -> None:
    executor = InlineExecutor()
    figures = evaluate_tokenizer(model, data, out=tmp_path / "workers", executor=executor)
    assert figures == evaluate_tokenizer(model, data, out=tmp_path / "one")
    for place in (tmp_path / "one").iterdir():
        assert (tmp_path / "workers" / place.name).read_bytes() == place.read_bytes()
    assert executor.checked == [model.path, data]


def test_fewer_clips_and_another_size(model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "tokenizer", str(data), "--model", str(model_folder), "--json", "--quiet"]
    assert main([*command, "--clips", "2", "--size", "24x40", "--frames", "5"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["tokens"] == 2 * 2 * 3 * 5
    assert main([*command, "--size", "25x40"]) == 2
    assert main([*command, "--fps", "nan"]) == 2
    assert main([*command, "--frames", "500"]) == 3
    assert "ask for fewer" in capsys.readouterr().err


def test_refused_clips_are_counted(
    model_folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data, tmp_path / "toys")
    for number in (0, 1):
        broken = tmp_path / "toys" / f"clip_00000{number}.mp4"
        broken.write_bytes(broken.read_bytes()[:-300])
    build_index(tmp_path / "toys", workers=1)
    assert main(["evaluate", "tokenizer", str(tmp_path / "toys"), "--model", str(model_folder), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(f"2 clips of {tmp_path / 'toys'} (2 refused: skipped)\n")


def test_exactness_is_checked_in_full_float32(model: TokenizerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded() -> list[str]:
        return [kind.fp32_precision for kind in tf32_backends()]

    def law(tokenizer: CNNTokenizer) -> Verdict:
        return Verdict("what is allowed", rounded() == ["ieee", "ieee"], "")

    monkeypatch.setattr(laws, "every_token_survives", law)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        allow_tf32(convolutions=True, products=True)
        allowed = rounded()
        assert check_tokenizer_laws(model, seed=0)[-1] == Verdict("what is allowed", True, "")
        assert rounded() == allowed, "as it was"
        use_device("cpu")  # as encode, reconstruct and evaluate do
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    finally:
        allow_tf32(*before)


def test_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "'beauty', only psnr" in capsys.readouterr().err
    assert main(["evaluate", "runs", str(tmp_path)]) == 3


def test_runs_of_priors_and_runs_without_validation_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = {
        "new": [{"step": 1, "kind": "train", "nats": 9.0}],
        "prior": [{"step": 4, "kind": "validation", "top_guess": 0.5, "nats": 3.25}],
        "tokenizer": [{"step": 4, "kind": "validation", "l1": 0.1, "psnr": 20.0}],
    }
    for name, some in lines.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in some))
    new, prior, tokenizer = (str(tmp_path / name) for name in lines)
    for run, figure in ((prior, "nats"), (tokenizer, "psnr")):
        svg = tmp_path / f"{figure}.svg"
        assert main(["evaluate", "runs", new, run, "--out", str(svg)]) == 0
        table = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        assert table[1][0] == "new"
        assert table[1][1].startswith("not validated yet  -")
        assert table[2][1].split()[0] == "4"
        assert f"{figure} on held-out clips" in svg.read_text()
    assert main(["evaluate", "runs", prior, tokenizer]) == 3
    assert "tokenizer: its validation has no 'nats', only l1, psnr" in capsys.readouterr().err
    assert main(["evaluate", "runs", new, new]) == 3
    assert capsys.readouterr().err.endswith("new: no run was validated yet\n")


def test_an_existing_chart_is_replaced_only_with_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "kind": "validation", "psnr": 20.0}\n')
    svg = tmp_path / "curves.svg"
    svg.write_text("mine")
    command = ["evaluate", "runs", str(tmp_path), "--out", str(svg)]
    assert main(command) == 2
    assert capsys.readouterr().err == f"videogen: {svg}: already exists; --overwrite replaces it\n"
    assert svg.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert svg.read_text() != "mine"


def test_selftest_and_info(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", str(model_folder), "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert len(verdicts) >= 10
    assert all(verdict["held"] for verdict in verdicts)
    assert main(["info", str(model_folder), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["codes"] == 1000
    assert figures["spec"]["groups"] == [{"name": "tokens", "shape": [4, 4]}]
    assert main(["info", str(model_folder)]) == 0
    said = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert said["quantizer"].strip() == "FSQ of levels 8 x 5 x 5 x 5"
    assert said["bits per pixel"].endswith("; the first latent frame holds 1")


def test_every_kind_of_quantizer_is_described() -> None:
    weights = {"sharpness": 1.0, "sample_entropy_weight": 0.1, "batch_entropy_weight": 0.1}
    assert str(FSQConfig((8, 5))) == "FSQ of levels 8 x 5"
    assert str(LFQConfig(10, commitment_weight=0.1, **weights)) == "LFQ of 10 bits"
    assert str(BSQConfig(12, **weights)) == "BSQ of 12 bits"


def test_info_describes_a_token_set(
    model: TokenizerModel, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tmp_path / "tokens"
    assert main(["encode", str(data), str(tokens), "--model", str(model.path), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["info", str(tokens), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["clips"], figures["spec"]["groups"][0]["shape"], figures["made_of"]["fps"]) == (4, [4, 4], 8.0)
    assert figures["latent_frames"] == sum(len(TokenSet.open(tokens).clip(clip).codes) for clip in range(4))
    assert figures["tokenizer"] == model.fingerprint
    assert main(["info", str(tokens)]) == 0
    said = capsys.readouterr().out
    assert f"{figures['latent_frames']} of 16 tokens (4 x 4)\n" in said
    assert "of 32 x 32 at 8 a second" in said
    assert model.fingerprint in said
    next(tokens.glob("shard_*.json")).unlink()
    assert main(["info", str(tokens)]) == 3
    assert "1 of 1 shards" in capsys.readouterr().err


def test_selftest_fails_where_a_law_is_broken(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tokenizer.networks.blocks import PositionNorm

    def over_time(self, x_BTHWC):  # type: ignore[no-untyped-def]
        return x_BTHWC - x_BTHWC.mean((1, 2, 3), keepdim=True)

    monkeypatch.setattr(PositionNorm, "forward", over_time)
    assert main(["selftest", str(model_folder)]) == 1
    said = capsys.readouterr()
    assert "BROKEN  the encoder is causal" in said.out
    assert "3 of 12" in said.err


def test_charts_are_valid_for_any_numbers() -> None:
    for y in ([], [1.0], [2.0, 2.0], [float("nan"), 3.0]):
        ElementTree.fromstring(line_chart("a <title>", "x", "y", [Series("one & two", list(range(len(y))), y)]))
    assert [nice_step(step) for step in (0.9, 1.0, 1.1, 3, 70)] == [1, 1, 2, 5, 100]
