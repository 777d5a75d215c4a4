"""Runs of stage one with continuous tokens, and quantizers that are trained afterwards on the frozen encoder."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip
from tests.training.fake import lines
from tests.training.programs import same_bits
from tests.training.tiny import tiny_config, train
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.quantize import ContinuousConfig, FSQConfig, MultiHeadConfig, QuantizerConfig, VQConfig
from videogen.cli import main
from videogen.data import load_index
from videogen.errors import CheckpointError, UsageError
from videogen.evaluation.codebook.report import evaluate_codebook
from videogen.evaluation.info.tokenizer import format_tokenizer
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
from videogen.io import fit, read
from videogen.io.pixels import to_clip
from videogen.lab.measures import cost, soft_gap, usage
from videogen.lab.measures.context import MeasureContext, TrainingRecord
from videogen.models import load_tokenizer
from videogen.tokens import TokenSet, encode
from videogen.training.estimate.machine import find_machine
from videogen.training.records.run_folder import steps_in
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig
from videogen.training.tokenizer.dry_run import dry_run
from videogen.training.tokenizer.run import run_tokenizer

ONE_VIEW = MultiHeadConfig(FSQConfig((8, 5, 5)), dim=4, heads=1)


@pytest.fixture(scope="module")
def continuous(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("continuous") / "run"
    train(data, folder, quantizer="continuous", log_every=1, checkpoint_every=1, keep=20)
    return folder


def network_of(run: Path) -> LatentTokenizer:
    network = load_tokenizer(run).network
    assert isinstance(network, LatentTokenizer)
    return network


def test_a_run_logs_the_divergence_and_no_figures_of_codes(continuous: Path) -> None:
    log = lines(continuous)
    trained = [line for line in log if line["kind"] == "train"]
    assert all(line["kl"] == pytest.approx(0.01 * line["kl_nats"], rel=1e-5) for line in trained)
    assert all(line["clip_variance"] > 0 and "perplexity" not in line for line in trained)
    (last,) = [line for line in log if line["kind"] == "validation" and line["step"] == 9]
    assert math.isfinite(last["psnr"])
    assert "code_use" not in last
    card = (continuous / "model/README.md").read_text()
    assert "continuous, 4 numbers a token" in card
    assert "nan" not in card


def test_resumed_equals_never_stopped(data: Path, continuous: Path, tmp_path: Path) -> None:
    shutil.copytree(continuous, tmp_path / "run")
    for later in steps_in(tmp_path / "run/checkpoints")[3:]:
        shutil.rmtree(tmp_path / f"run/checkpoints/step_{later:08}")
    train(data, tmp_path / "run", resume=True, quantizer="continuous", log_every=1, checkpoint_every=1, keep=20)
    assert same_bits(continuous, tmp_path / "run")


def test_the_model_keeps_the_laws_and_is_evaluated(data: Path, continuous: Path, tmp_path: Path) -> None:
    model = load_tokenizer(continuous)
    verdicts = check_tokenizer_laws(model, seed=0)
    assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []
    figures = evaluate_tokenizer(model, data, out=tmp_path / "report")
    assert figures["psnr"] > 3
    assert figures["perplexity"] is figures["bits_per_token"] is None
    assert format_tokenizer(model)["codes"] == "continuous, 4 numbers a token"
    with pytest.raises(CheckpointError, match="its tokens are continuous"):
        evaluate_codebook(model, tmp_path / "book")


def test_measures_of_the_lab_have_no_figures_of_codes(continuous: Path, tmp_path: Path) -> None:
    clips = torch.zeros(2, 5, 16, 16, 3, dtype=torch.uint8)
    record = TrainingRecord(steps=9, ms_per_step=1.0, peak_mib=1.0)
    context = MeasureContext(load_tokenizer(continuous), clips, ("", ""), record, continuous, tmp_path)
    assert usage.measure(context) == {}
    figures = {**cost.measure(context), **soft_gap.measure(context)}
    assert figures["codes_per_token"] == 4
    assert not [name for name, value in figures.items() if value is None or not math.isfinite(value)]
    assert not [name for name in figures if name.startswith("bits")]


def test_shards_hold_the_very_numbers(data: Path, continuous: Path, tmp_path: Path) -> None:
    model, index = load_tokenizer(continuous), load_index(data)
    encode(index, tmp_path / "tokens", model)
    tokens = TokenSet.open(tmp_path / "tokens", model.fingerprint)
    assert len(tokens) == len(index.good)
    for row, clip in enumerate(index.good):
        frames = fit(read(clip.entry.source, range(len(clip.scan.pts)), clip.scan), 16, 16)
        codes = encode_clip(model.network, to_clip(frames[None]))[0]
        assert codes.dtype == torch.float32
        assert torch.equal(torch.as_tensor(tokens.clip(row).codes), codes)


def head_config(data: Path, model: Path, quantizer: QuantizerConfig, **phase: Any) -> TokenizerTrainingConfig:
    config = tiny_config(data, steps=3, log_every=1)
    tokenizer = replace(config.tokenizer, quantizer=quantizer)
    return replace(config, phases=(PhaseConfig(0, 16, 16, 5, **phase),), init_from=model, tokenizer=tokenizer)


@pytest.mark.parametrize("quantizer", [FSQ_1000, ONE_VIEW, VQConfig(16, 4)], ids=["fsq", "one view", "vq"])
def test_another_quantizer_learns_on_the_frozen_encoder(
    data: Path, continuous: Path, tmp_path: Path, quantizer: QuantizerConfig
) -> None:
    config = head_config(data, continuous, quantizer, encoder_frozen=True)
    assert json.dumps(dry_run(config, find_machine("cpu"))[0])
    run_tokenizer(config, tmp_path / "head", resume=False)
    before, after, clip = network_of(continuous), network_of(tmp_path / "head"), noise_clip(2, 9, 16, 24)
    assert torch.equal(after.encode_latents(clip)[0], before.encode_latents(clip)[0])
    assert torch.equal(after.encode_latents(clip)[0], before.encode(clip)[0])
    codes = encode_clip(after, clip)
    assert not codes.is_floating_point()
    assert check_tokenizer_laws(load_tokenizer(tmp_path / "head"), seed=0)[0].held
    given, now = before.state_dict(), after.state_dict()
    kept = {name: torch.equal(weights, given[name][: len(weights)]) for name, weights in now.items() if name in given}
    assert kept == {name: name.startswith("encoder.") for name in kept}, "the decoder has learned, the encoder has not"
    started = make_tokenizer(after.config).quantizer.state_dict()
    learned = after.quantizer.state_dict()
    assert all(not torch.equal(weights, started[name]) for name, weights in learned.items())


def test_a_run_of_all_parts_starts_from_another_quantizer_too(data: Path, continuous: Path, tmp_path: Path) -> None:
    """Codes to latents and back again: rows of log variances are new, all others are the model's."""
    there = head_config(data, continuous, FSQ_1000)
    still = replace(there.optimizer, learning_rate=1e-12)
    run_tokenizer(replace(there, optimizer=still), tmp_path / "discrete", resume=False)
    back = head_config(data, tmp_path / "discrete", ContinuousConfig(4, kl_weight=0.1))
    assert json.dumps(dry_run(back, find_machine("cpu"))[0])
    run_tokenizer(replace(back, optimizer=still), tmp_path / "back", resume=False)
    given, now = (network_of(run).state_dict() for run in (continuous, tmp_path / "back"))
    assert given.keys() == now.keys()
    last = f"encoder.layers.{len(network_of(continuous).encoder.layers) - 1}."  # type: ignore[arg-type]
    for name, weights in given.items():
        rows = 4 if name.startswith(last) else len(weights)
        torch.testing.assert_close(now[name][:rows], weights[:rows], atol=1e-9, rtol=0)
        assert rows == len(weights) or not torch.equal(now[name], weights)


@pytest.mark.parametrize(
    ("quantizer", "phase", "message"),
    [
        (FSQConfig((8, 5, 5)), {"encoder_frozen": True}, r"latents have 4 numbers; .* takes 3; .*multi_head, dim: 4"),
        (FSQ_1000, {"decoder_only": True}, "differs from this configuration in quantizer"),
    ],
)
def test_what_does_not_fit_is_said(
    data: Path, continuous: Path, tmp_path: Path, quantizer: QuantizerConfig, phase: dict[str, bool], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_tokenizer(head_config(data, continuous, quantizer, **phase), tmp_path / "run", resume=False)


def test_phases_freeze_more_and_more() -> None:
    with pytest.raises(ValueError, match="encoder_frozen and decoder_only exclude each other"):
        PhaseConfig(0, 16, 16, 5, encoder_frozen=True, decoder_only=True)
    config = tiny_config(Path("data"))
    frozen, all_but_decoder = (
        PhaseConfig(0, 16, 16, 5, encoder_frozen=True),
        PhaseConfig(4, 16, 16, 5, decoder_only=True),
    )
    replace(config, phases=(frozen, all_but_decoder))
    for later in (PhaseConfig(8, 16, 16, 5), PhaseConfig(8, 16, 16, 5, encoder_frozen=True)):
        with pytest.raises(ValueError, match="train the encoder or the quantizer again"):
            replace(config, phases=(frozen, all_but_decoder, later))


def test_a_prior_says_that_it_has_no_head_for_them(
    data: Path, continuous: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"data.train={data}", "--tokenizer", str(continuous), "--run", str(tmp_path / "prior")]
    assert main(["train", "prior", "playroom_64_cpu", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "prior.head = chain needs codebooks, but these tokens are continuous" in line
    assert not (tmp_path / "prior").exists()
