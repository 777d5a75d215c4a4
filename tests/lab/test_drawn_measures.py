"""The measures of images, of details, of mixtures and of latent frames on a whole tokenizer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import small_config, small_model
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.quantize import SoftVQConfig
from tokenizer.quantize.anneal import Anneal
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.evaluation.tokenizer.metrics import psnr
from videogen.io.pixels import to_clip, to_frames
from videogen.lab import ocr
from videogen.lab.job import PriorJob
from videogen.lab.measures import images, kept, layout, prior, soft_gap
from videogen.lab.measures.context import MeasureContext, TrainingRecord
from videogen.models import load_tokenizer, tokenizer_files


@pytest.fixture(params=[True, False], ids=["causal", "not causal"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> MeasureContext:
    return context_of(small_config(causal=request.param), tmp_path)


def context_of(config: CNNTokenizerConfig, tmp_path: Path) -> MeasureContext:
    files = tokenizer_files(config, ClipSpec(32, 32, 8.0, 6), small_model(config).state_dict(), "# a card")
    write_folder(tmp_path / "model", files)
    clips = torch.randint(0, 256, (3, 6, 32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    training = TrainingRecord(steps=1, ms_per_step=1.0, peak_mib=1.0)
    return MeasureContext(
        load_tokenizer(tmp_path / "model"), clips, ("",) * 3, training, tmp_path, tmp_path / "pictures"
    )


@pytest.mark.parametrize("temperature", [1.0, 1e-6])
def test_mixtures_are_not_codes_until_they_are_cold(temperature: float, tmp_path: Path) -> None:
    quantizer = SoftVQConfig(32, 4, Anneal(temperature, temperature, steps=1), mixture="mean")
    figures = soft_gap.measure(context_of(small_config(quantizer=quantizer), tmp_path))
    assert (abs(figures["soft_gap"]) > 1e-4) == (temperature == 1.0)


def test_images_are_first_frames_alone(context: MeasureContext) -> None:
    network, first = context.model.network, context.clips[:, :1]
    decoded, _ = network.decode(encode_clip(network, to_clip(first)), context.model.spec)
    expected = psnr(to_frames(decoded).flatten(0, 1), first.flatten(0, 1)).mean()
    assert images.measure(context)["psnr_images"] == pytest.approx(float(expected))


def test_clips_of_any_length_are_reconstructed(context: MeasureContext) -> None:
    assert torch.equal(context.reconstruct(context.clips), context.reconstructions)
    assert context.reconstruct(context.clips[:2, :3]).shape == (2, 3, 32, 32, 3)


@pytest.mark.parametrize("context", [True], indirect=True)
def test_details_are_measured_and_drawn(context: MeasureContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "is_installed", lambda: True)
    monkeypatch.setattr(ocr, "open_reader", lambda: lambda picture: "")
    figures = kept.measure(context)
    kinds = {name for name in figures if not name[-1].isdigit()}
    assert kinds == {"words", "ceiling_words", "shapes", "lines", "motion"}
    assert figures["words_10"] == figures["ceiling_words_10"] == 0
    assert all(0 <= value <= 1 for value in figures.values())
    assert {place.name for place in context.pictures.iterdir()} == {"details.png", "details_original.png"}


def test_latent_frames_are_timed_in_a_stream(context: MeasureContext) -> None:
    figures, spec = layout.measure(context), context.model.spec
    assert figures["tokens_per_latent"] == spec.tokens
    assert figures["bits_per_latent"] == pytest.approx(spec.tokens * spec.bits)
    assert set(figures) & {"encode_ms", "decode_ms", "state_kib"} == set(figures) - {
        "tokens_per_latent",
        "bits_per_latent",
    }
    assert ("state_kib" in figures) == context.model.network.causal
    assert list(map(len, layout.latent_frames(context))) == [1] * (1 + layout.WARM_UP + layout.TIMED - 1)


def test_the_state_of_the_decoder_does_not_grow(context: MeasureContext, monkeypatch: pytest.MonkeyPatch) -> None:
    if context.model.network.causal:
        before = layout.measure(context)["state_kib"]
        monkeypatch.setattr(layout, "TIMED", 3)
        assert layout.measure(context)["state_kib"] == before > 0


@pytest.mark.parametrize("context", [False], indirect=True)
def test_a_tokenizer_that_cannot_stream_has_no_prior(context: MeasureContext, tmp_path: Path) -> None:
    job = PriorJob({}, train="none", held_out="none", clips=1, sampling_steps=1, checkpoints=1, steps=1)
    assert prior.measure(replace(context, prior=job)) == {}
    assert not (tmp_path / "prior").exists()
