"""Runs of stage one whose decoder is given captions: resumed to the bit, and what a model holds and reconstructs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interfaces.text import CaptionInput
from interfaces.tokenizer import encode_clip
from tests.training.fake import lines
from tests.training.programs import same_bits
from tests.training.tiny import tiny_config
from tokenizer.networks.condition import ConditionConfig, CrossAttentionConfig, FilmConfig
from tokenizer.networks.condition.decoder import CONDITION_WEIGHTS
from videogen.cli import main
from videogen.conditioning import BPEConfig
from videogen.data import build_index
from videogen.errors import DataError, UsageError
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
from videogen.io import read_metadata
from videogen.io.pixels import to_clip, to_frames
from videogen.models import load_tokenizer
from videogen.training.estimate.machine import find_machine
from videogen.training.records.run_folder import steps_in
from videogen.training.tokenizer.clips import ClipBatches
from videogen.training.tokenizer.config import TokenizerTrainingConfig
from videogen.training.tokenizer.dry_run import dry_run
from videogen.training.tokenizer.run import run_tokenizer

FILM = FilmConfig(width=8, dropout=0.3)
TEXT = BPEConfig(vocabulary=300, length=24)


def told_config(data: Path, condition: ConditionConfig = FILM, **training: int) -> TokenizerTrainingConfig:
    config = tiny_config(data, log_every=1, **training)
    return replace(config, tokenizer=replace(config.tokenizer, condition=condition), text=TEXT)


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run_tokenizer(told_config(data, checkpoint_every=1, keep=20), folder, resume=False)
    return folder


@pytest.mark.parametrize("step", [1, 5])
def test_resumed_after_a_step(data: Path, unbroken: Path, tmp_path: Path, step: int) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    for later in steps_in(tmp_path / "run/checkpoints"):
        if later > step:
            shutil.rmtree(tmp_path / f"run/checkpoints/step_{later:08}")
    run_tokenizer(told_config(data, checkpoint_every=1, keep=20), tmp_path / "run", resume=True)
    assert same_bits(unbroken, tmp_path / "run")


def test_a_model_holds_the_reader_of_its_captions(data: Path, unbroken: Path) -> None:
    assert (unbroken / "model/tokenizer/text/tokenizer.json").is_file()
    assert not (unbroken / "model/text").exists()
    model, samples = load_tokenizer(unbroken), ClipBatches(told_config(data)).validation_samples()
    assert model.conditioner is not None
    learned = [weights for name, weights in model.network.state_dict().items() if name.startswith(CONDITION_WEIGHTS)]
    assert all(weights.any() for weights in learned), "what was zero at first has learned"
    judged, psnr = lines(unbroken)[-1], dict[str, float]()
    for name, given in (("psnr", [each.caption for each in samples]), ("psnr_without_caption", [""] * len(samples))):
        clips = torch.stack([torch.from_numpy(each.clip) for each in samples])
        codes = encode_clip(model.network, to_clip(clips))
        frames = to_frames(model.network.decode(codes, model.spec, model.begin_decoding(given))[0])
        error = (frames.double() - clips.double()).square().mean((2, 3, 4))
        psnr[name] = float((20 * torch.tensor(255.0).log10() - 10 * error.log10()).mean())
        assert judged[name] == pytest.approx(psnr[name], abs=1e-3)
    assert psnr["psnr"] != pytest.approx(psnr["psnr_without_caption"], abs=1e-6)
    assert all(verdict.held for verdict in check_tokenizer_laws(model, seed=0))


def test_the_share_of_dropped_captions(data: Path) -> None:
    clips = ClipBatches(told_config(data))
    keys = tuple(f"clip {number}" for number in range(200))
    dropped = [clips.dropped_captions(keys, step) for step in range(10)]
    assert sum(map(sum, dropped)) / 2000 == pytest.approx(0.3, abs=0.04)
    assert len(set(dropped)) == 10, "each step drops others"
    halves = clips.dropped_captions(keys[:100], 3) + clips.dropped_captions(keys[100:], 3)
    assert halves == dropped[3], "whatever the process"
    assert not any(ClipBatches(tiny_config(data)).dropped_captions(keys, 0))


def test_a_decoder_whose_captions_are_always_dropped_learns_nothing_of_them(data: Path, tmp_path: Path) -> None:
    run_tokenizer(told_config(data, replace(FILM, dropout=1.0), steps=2), tmp_path / "run", resume=False)
    judged = load_tokenizer(tmp_path / "run").network.state_dict()
    words = "decoder.condition.embedding.tokens.weight"
    fresh = tmp_path / "fresh"
    run_tokenizer(told_config(data, replace(FILM, dropout=1.0), steps=1), fresh, resume=False)
    assert torch.equal(judged[words], load_tokenizer(fresh).network.state_dict()[words])


def test_evaluating_with_captions_and_without(data: Path, unbroken: Path, tmp_path: Path) -> None:
    figures = evaluate_tokenizer(load_tokenizer(unbroken), data)
    assert figures["psnr"] != figures["psnr_without_caption"]
    run_tokenizer(tiny_config(data, steps=1), tmp_path / "plain", resume=False)
    assert "psnr_without_caption" not in evaluate_tokenizer(load_tokenizer(tmp_path / "plain"), data)


def test_a_prompt_for_reconstruct(
    data: Path, unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, psnr = str(data / "clip_000000.mp4"), []
    command = ["reconstruct", clip, str(tmp_path / "seen.mp4"), "--json", "--quiet", "--overwrite", "--model"]
    for prompt in (["--prompt", "a small red ring"], ["--prompt", "a big star"], []):
        assert main([*command, str(unbroken), *prompt]) == 0
        psnr.append(json.loads(capsys.readouterr().out)["psnr"])
        assert read_metadata(tmp_path / "seen.mp4").get("prompt") == (prompt[1] if prompt else None)
    assert len(set(psnr)) == 3
    run_tokenizer(tiny_config(data, steps=1), tmp_path / "plain", resume=False)
    assert main([*command, str(tmp_path / "plain"), "--prompt", "a star"]) == 2
    assert "its decoder takes no prompt" in capsys.readouterr().err


def test_a_condition_for_a_tokenizer_that_had_none(data: Path, unbroken: Path, tmp_path: Path) -> None:
    """It starts as that tokenizer, keeps its tokens where the encoder is frozen, and is begun from in turn."""
    run_tokenizer(tiny_config(data, steps=1), tmp_path / "plain", resume=False)
    slow = replace(told_config(data).optimizer, learning_rate=1e-12)
    frozen = (replace(told_config(data).phases[0], decoder_only=True),)
    config = replace(told_config(data, steps=1), phases=frozen, optimizer=slow, init_from=tmp_path / "plain")
    run_tokenizer(config, tmp_path / "given", resume=False)
    plain, given = load_tokenizer(tmp_path / "plain"), load_tokenizer(tmp_path / "given")
    assert given.fingerprint == plain.fingerprint
    spec, codes = plain.spec, plain.spec.empty(1, 2)
    for state in (None, given.begin_decoding(["a small red ring"])):
        expected, _ = plain.network.decode(codes, spec)
        torch.testing.assert_close(given.network.decode(codes, spec, state)[0], expected, atol=1e-5, rtol=0)
    again = replace(told_config(data, steps=1), optimizer=slow, init_from=unbroken)
    run_tokenizer(again, tmp_path / "again", resume=False)
    given, now = (load_tokenizer(place).network.state_dict() for place in (unbroken, tmp_path / "again"))
    assert all(torch.allclose(now[name], given[name], atol=1e-9) for name in given)
    other = replace(again, text=replace(TEXT, length=8))
    with pytest.raises(UsageError, match="text configuration differs"):
        run_tokenizer(other, tmp_path / "other", resume=False)


def test_cross_attention_is_trained_and_estimated(data: Path, tmp_path: Path) -> None:
    config = told_config(data, CrossAttentionConfig(width=8, heads=2, dropout=0.1), steps=2)
    run_tokenizer(config, tmp_path / "run", resume=False)
    assert load_tokenizer(tmp_path / "run").config.condition.input.length == TEXT.length
    facts, _ = dry_run(config, find_machine("cpu"))
    assert facts["the decoder is given"] == "the caption, by cross_attention"


def test_a_condition_and_text_go_together(data: Path, tmp_path: Path) -> None:
    config = told_config(data)
    with pytest.raises(ValueError, match=r"tokenizer\.condition and text go together"):
        replace(config, text=None)
    with pytest.raises(ValueError, match=r"tokenizer\.condition and text go together"):
        replace(tiny_config(data), text=TEXT)
    untold = tmp_path / "untold"
    untold.mkdir()
    for clip in data.glob("*.mp4"):
        shutil.copy(clip, untold)
    build_index(untold, workers=1)
    with pytest.raises(DataError, match="no clip has a caption"):
        run_tokenizer(told_config(untold), tmp_path / "run", resume=False)
    named = replace(FILM, input=CaptionInput(9, vocabulary=300))
    with pytest.raises(UsageError, match="input follows from text"):
        run_tokenizer(told_config(data, named), tmp_path / "run", resume=False)
