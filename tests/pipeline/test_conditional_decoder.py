"""A prompt reaches a decoder that is given captions: in a call, in a stream, and when it changes."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from interfaces.text import CaptionInput
from prior.config import ContextConfig
from tests.pipeline.tiny import CLIPS, LENGTH, RING, STAR
from tests.prior.models import tiny_config, tiny_model
from tests.tokenizer.models import small_config, small_model
from tokenizer.networks.condition import FilmConfig
from videogen.checkpoint import write_folder
from videogen.conditioning import BPEConfig, make_conditioner
from videogen.evaluation.prior.selftest import check_prior_laws
from videogen.io.pixels import to_frames
from videogen.models import load_tokenizer, prior_files, tokenizer_files
from videogen.pipeline import VideoPipeline

FRAMES = 13


def make_pipe(home: Path, prior_reads: bool) -> VideoPipeline:
    """Vocabularies of the decoder and of the prior differ."""
    decoders = make_conditioner(BPEConfig(vocabulary=280, length=LENGTH), [STAR])
    condition = FilmConfig(width=8, dropout=0.1, input=CaptionInput(LENGTH, vocabulary=decoders.vocabulary))
    network = small_model(replace(small_config(), condition=condition))
    for name, weights in network.named_parameters():
        if ".condition." in name:
            weights.data.normal_(std=0.3)
    files = tokenizer_files(network.config, CLIPS, network.state_dict(), "# a card", decoders)
    tokenizer = load_tokenizer(write_folder(home / "tokenizer", files).path)
    reader = make_conditioner(BPEConfig(vocabulary=300, length=LENGTH), [RING, STAR]) if prior_reads else None
    context = None if reader is None else ContextConfig(LENGTH, vocabulary=reader.vocabulary)
    config = tiny_config("masked", spec=tokenizer.spec, context=context)
    weights = tiny_model(config).float().state_dict()
    write_folder(home / "model", prior_files(tokenizer, config, CLIPS, weights, reader, "# a card"))
    return VideoPipeline.from_pretrained(home / "model")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> VideoPipeline:
    return make_pipe(tmp_path_factory.mktemp("given"), prior_reads=True)


@pytest.fixture(scope="module")
def only_decoder(tmp_path_factory: pytest.TempPathFactory) -> VideoPipeline:
    """Its prior takes no text, so that only the decoder can make a difference."""
    return make_pipe(tmp_path_factory.mktemp("only"), prior_reads=False)


def taken(stream, count: int) -> np.ndarray:
    return np.stack(list(islice(stream, count)))


def decoded(pipe: VideoPipeline, parts: list[tuple[str, torch.Tensor]]) -> np.ndarray:
    """The frames of codes under one prompt after the other."""
    network, state, frames = pipe.model.tokenizer.network, None, []
    for prompt, codes in parts:
        state = pipe.model.tokenizer.with_captions(state, [prompt])
        clip, state = network.decode(codes, pipe.model.spec, state)
        frames.append(to_frames(clip)[0].numpy())
    return np.concatenate(frames)


def test_the_laws_of_generation_hold(given):
    assert [verdict for verdict in check_prior_laws(given.model, seed=0) if not verdict.held] == []


def test_a_prompt_of_a_call_and_of_a_stream_reaches_the_decoder(only_decoder, recwarn):
    pipe, options = only_decoder, {"num_frames": FRAMES, "generator": 5}
    codes = [pipe(prompt, output_type="codes", **options).frames for prompt in (RING, STAR)]
    assert torch.equal(*codes)
    videos = [pipe(prompt, output_type="uint8", **options).frames[0] for prompt in (RING, STAR)]
    for video, prompt in zip(videos, (RING, STAR), strict=True):
        assert np.array_equal(video, decoded(pipe, [(prompt, codes[0])])[:FRAMES])
        assert np.array_equal(video, taken(pipe.stream(prompt, generator=5), FRAMES))
    assert not np.array_equal(*videos)
    both = pipe([RING, STAR], output_type="uint8", **{**options, "generator": [5, 5]}).frames
    for video, alone in zip(both, videos, strict=True):
        assert np.abs(video.astype(int) - alone).max() <= 1, "equal but for rounding: each has its own prompt"
    assert not [warning for warning in recwarn if "no effect" in str(warning.message)]


@pytest.mark.parametrize("transition", ["recache", "cut"])
def test_a_new_prompt_in_a_stream_reaches_the_decoder(only_decoder, transition):
    pipe = only_decoder
    stream = pipe.stream(RING, generator=5, transition=transition)
    first = taken(stream, 5)  # two latent frames
    stream.prompt = STAR
    state = stream.state()
    second = taken(stream, 8 if transition == "recache" else 5)
    again = pipe.restore(state)
    assert np.array_equal(taken(again, len(second)), second)
    codes = again.generation.context.codes_BTNK[:, -2:]
    if transition == "cut":
        assert np.array_equal(second, decoded(pipe, [(STAR, codes)]))
    else:
        whole = pipe(RING, num_frames=FRAMES, generator=5, output_type="codes").frames
        assert np.array_equal(np.concatenate([first, second]), decoded(pipe, [(RING, whole[:, :2]), (STAR, codes)]))


def test_the_frames_of_a_continued_clip_are_decoded_under_the_prompt(only_decoder):
    pipe = only_decoder
    clip = pipe(RING, num_frames=9, generator=1, output_type="uint8").frames[0]
    same = {"video": clip, "num_frames": 9, "generator": 2, "output_type": "uint8"}
    assert not np.array_equal(pipe(RING, **same).frames, pipe(STAR, **same).frames)


def test_a_saved_model_keeps_both_vocabularies(given, tmp_path):
    given.save_pretrained(tmp_path / "copy")
    for name in ("text/tokenizer.json", "tokenizer/text/tokenizer.json"):
        assert (tmp_path / "copy" / name).is_file()
    again = VideoPipeline.from_pretrained(tmp_path / "copy")
    assert again.model.conditioner.fingerprint == given.model.conditioner.fingerprint
    assert again.model.tokenizer.conditioner.fingerprint == given.model.tokenizer.conditioner.fingerprint
    assert again.model.conditioner.fingerprint != again.model.tokenizer.conditioner.fingerprint
    options = {"num_frames": 5, "generator": 3, "output_type": "uint8"}
    assert np.array_equal(again(STAR, **options).frames, given(STAR, **options).frames)
