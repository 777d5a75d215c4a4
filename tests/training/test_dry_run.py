"""A dry run needs only a configuration; it counts the memory of a step and names settings that fit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from prior.model import LlamaPrior
from tests.tokens.conftest import make_videos
from tests.training.conftest import LENGTHS
from tests.training.tiny import tiny_config as tiny_tokenizer
from tests.training.tiny_prior import Set, tiny_config
from tokenizer.networks.cnn import CNNTokenizer
from videogen.cli import main
from videogen.conditioning import EncoderConfig
from videogen.config import resolve
from videogen.data import build_index
from videogen.errors import UsageError
from videogen.tokens import TokenSet
from videogen.training.estimate.machine import GIB, GPUS, Machine, available_memory, find_machine
from videogen.training.estimate.memory_estimate import fake_tensors, measure_cost, saved_bytes
from videogen.training.estimate.report import MemoryNeed, memory_report, settings_that_fit
from videogen.training.loop.config import TrainingConfig
from videogen.training.prior import dry_run as prior_dry_run
from videogen.training.prior.batches import TokenBatches
from videogen.training.prior.dry_run import dry_run, find_context, phase_cost, zero_batch
from videogen.training.prior.stage import make_prior_config
from videogen.training.tokenizer import dry_run as tokenizer_dry_run

H100 = find_machine("h100")
TRAINING = TrainingConfig(steps=10, batch_size=64)
Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_saved_bytes_of_fake_tensors_are_those_of_real_ones(precision: str, tmp_path: Path) -> None:
    config = tiny_tokenizer(tmp_path).tokenizer

    def bytes_of(network: CNNTokenizer) -> int:
        clip = torch.zeros(2, 3, 9, 16, 16)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return saved_bytes([network], lambda: network(clip).clip.mean())[1]

    with fake_tensors():
        counted = bytes_of(CNNTokenizer(config))
    held = bytes_of(CNNTokenizer(config))
    assert counted == pytest.approx(held, rel=0 if precision == "fp32" else 0.05)
    assert held > 10_000


def test_operations_of_attention_are_counted() -> None:
    with fake_tensors():
        q = torch.zeros(1, 2, 8, 4, requires_grad=True)
        attention = torch.nn.functional.scaled_dot_product_attention
        cost = measure_cost([], lambda: attention(q, q, q).mean(), "fp32")
    product = 2 * 2 * 8 * 8 * 4
    assert cost.operations == 2 * product + 5 * product, "two products there, five on the way back"


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_costs_of_two_layers_give_those_of_five(objective: Any, tmp_path: Path) -> None:
    config = tiny_config(tmp_path, objective)
    config = replace(config, prior=replace(config.prior, layers=5))
    context, _ = find_context(config.text)
    source = prior_dry_run.find_tokenizer("video_64_cpu", config)
    shape = make_prior_config(config, source, context)
    phase = config.phases[-1]
    said = phase_cost(shape, config, phase, recompute=False)
    network = LlamaPrior(shape)  # and nothing without memory is left behind in any cache
    batch = zero_batch(network, phase.frames, clips=1)
    held = measure_cost([network], lambda: prior_dry_run.loss_of(network, batch, 0.1, False), "fp32")
    assert (said.bytes, said.operations) == (held.bytes, held.operations)


def test_a_prior_that_is_not_encoded_yet(made: Set, tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", LENGTHS)
    build_index(videos, workers=1)
    figures, text = dry_run(tiny_config(videos), str(made[0]), find_machine("cpu"))
    token_batches = TokenBatches(tiny_config(made[1]), TokenSet.open(made[1]), None)
    encoded, _ = dry_run(tiny_config(made[1]), str(made[0]), find_machine("cpu"))
    for found in (figures, encoded):
        assert found["clips"] == len(token_batches.windows[-1])
        assert found["clips to validate with"] == min(len(token_batches.held_out), 4)
        assert found["clips too short"] == token_batches.report().short
        assert found["micro-batches"] == [[2, 2, 24], [2, 3, 24]]
        assert found["a token"] == "9.97 bits, codebooks of 8 x 5 x 5 x 5"
        assert found["fits"]
        assert found["hours"] > 0
        assert json.loads(json.dumps(found)) == found
    assert "2 x 3 x 24" in text


def test_clips_that_end_inside_the_last_latent_frame_are_too_short_before_encoding_too(
    made: Set, tmp_path: Path
) -> None:
    videos = make_videos(tmp_path / "videos", LENGTHS)
    build_index(videos, workers=1)
    longer = [
        replace(config, phases=(*config.phases[:-1], replace(config.phases[-1], frames=4)))
        for config in (tiny_config(videos), tiny_config(made[1]))
    ]
    counts = [dry_run(config, str(made[0]), find_machine("cpu"))[0] for config in longer]
    names = ("clips", "clips to validate with", "clips too short")
    assert [counts[0][name] for name in names] == [counts[1][name] for name in names]
    assert counts[0]["clips too short"] == sum(length < 13 for length in LENGTHS)


@pytest.mark.parametrize(
    "name", ["video_64_cpu", *(pytest.param(name, marks=pytest.mark.slow) for name in ("video_80m", "video_700m"))]
)
def test_a_preset_needs_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    processes = "8" if name == "video_700m" else "1"
    assert main(["train", "prior", name, "--dry-run", "--device", "h100", "--processes", processes, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["fits"], "what a preset's first lines promise"
    assert figures["to make it fit"] == []
    assert figures["hours"] > 0
    assert figures["clips"].startswith("not known: ")
    assert "from its configuration alone" in figures["tokenizer"]
    assert not list(tmp_path.iterdir())


def test_the_largest_preset_is_never_built(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Its weights alone are 11 GB."""
    monkeypatch.setattr("videogen.training.estimate.machine.available_memory", lambda: 8 * GIB)
    short = "phases=[{from_step: 0, frames: 2}]"
    assert main(["train", "prior", "video_3b", short, "--dry-run", "--json", "--processes", "64"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert not figures["fits"]
    assert figures["to make it fit"][0].startswith("FSDP over ")
    assert "hours" not in figures


@pytest.mark.parametrize("name", ["video_64_cpu", pytest.param("video_128", marks=pytest.mark.slow)])
def test_hours_of_a_tokenizer(name: str, capsys: Captured) -> None:
    assert main(["train", "tokenizer", name, "--dry-run", "--device", "h100", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["fits"]
    assert figures["hours"] > 0
    assert figures["hours are"] == "at 30% of the data sheet rate of NVIDIA H100"


def test_phases_after_the_last_step_cost_nothing(tmp_path: Path) -> None:
    config = tiny_tokenizer(tmp_path / "nowhere")
    config = replace(config, phases=(replace(config.phases[0], image_share=0.0), config.phases[1]))
    whole, short = (
        tokenizer_dry_run.dry_run(replace(config, training=replace(config.training, steps=steps)), H100)[0]
        for steps in (9, 3)
    )
    assert float(whole["operations of a clip"]) > float(short["operations of a clip"])
    assert whole["hours"] > 3 * short["hours"]


@pytest.mark.parametrize("frozen", ["decoder_only", "encoder_frozen"])
def test_images_of_a_frozen_encoder_are_counted(frozen: str, tmp_path: Path) -> None:
    config = tiny_tokenizer(tmp_path / "nowhere")
    phases = (replace(config.phases[0], image_share=0.5, **{frozen: True}),)
    facts, _ = tokenizer_dry_run.dry_run(replace(config, phases=phases), H100)
    assert facts["hours"] > 0


def test_settings_that_fit() -> None:
    gpu = Machine("a GPU", 80 * GIB, 1e14)
    need = MemoryNeed(2 * GIB, 3 * GIB, GIB)
    assert memory_report(need, TRAINING, 1, gpu)["fits"] is False
    assert settings_that_fit(need, TRAINING, 1, gpu) == [
        "training.accumulation=4 (50.0 GiB)", "recompute=true training.accumulation=1 (66.0 GiB)"
    ]  # fmt: skip
    for words in settings_that_fit(need, TRAINING, 1, gpu):
        parts, recompute = int(words.partition("accumulation=")[2].split()[0]), words.startswith("recompute")
        there = replace(need, clip=GIB) if recompute else need
        assert memory_report(there, replace(TRAINING, accumulation=parts), 1, gpu)["fits"]
    assert settings_that_fit(need, TRAINING, 8, gpu) == []
    assert settings_that_fit(MemoryNeed(2 * GIB, 90 * GIB), TRAINING, 1, gpu) == [
        "a smaller network, or shorter or smaller clips in phases: one clip needs 90.0 GiB"
    ]
    assert settings_that_fit(MemoryNeed(90 * GIB, GIB, sharded=True), TRAINING, 1, gpu)[0].startswith(
        "FSDP over 2 such machines"
    )
    assert settings_that_fit(MemoryNeed(90 * GIB, GIB), TRAINING, 1, gpu)[0].startswith(
        "a smaller network: it needs 90.0 GiB"
    )
    with pytest.raises(UsageError, match="1 micro-batches of 3 processes"):
        memory_report(need, TRAINING, 3, gpu)


def test_machines_have_names() -> None:
    assert find_machine("cpu").memory == available_memory() > GIB
    assert find_machine("cpu").rate is None
    for name in GPUS:
        assert find_machine(name).memory > 10 * GIB
    with pytest.raises(UsageError, match=r"abacus: .*cpu, or t4, "):
        find_machine("abacus")


def test_only_the_size_of_a_text_encoder_is_read(tmp_path: Path) -> None:
    assert find_context(EncoderConfig("nobody/has-this"))[1] == {
        "text encoder": "nobody/has-this is not here: 1024 features are assumed"
    }
    (tmp_path / "config.json").write_text('{"d_model": 48}')
    context, assumed = find_context(EncoderConfig(str(tmp_path)))
    assert context is not None
    assert (context.features, assumed) == (48, {})


def test_a_run_from_another_prior_has_its_vocabulary() -> None:
    """That of the bundled model has fewer tokens than its preset asks for."""
    config = resolve("playroom_64_cpu_unified", expected="prior")[1].value
    figures, _ = dry_run(config, "playroom", H100)
    assert figures["objective"] == "masked frames, and captions"


def test_a_missing_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--tokenizer"):
        dry_run(tiny_config(tmp_path / "nowhere"), None, H100)


@pytest.mark.parametrize("schema", ["prior"])
def test_presets_name_their_tokenizer(schema: str) -> None:
    from videogen.config.presets import presets

    for name in presets([schema]):
        preset = resolve(name)[1].value.tokenizer_preset
        assert resolve(preset, expected="tokenizer")[1].value is not None
