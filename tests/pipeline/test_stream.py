"""A stream equals the offline call to the bit, in codes and frames."""

import random
import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from tests.pipeline.oracle import codes_of, frames_of
from tests.pipeline.tiny import MASKED_ORDERS, RING, STAR
from tests.tokenizer.models import noise_clip
from videogen.errors import UsageError
from videogen.generate import empty_context, new_scene, prefill, step, switch_prompt
from videogen.io.pixels import to_frames
from videogen.pipeline import VideoPipeline

SETTINGS = [{"order": order, "guidance_scale": scale} for order in MASKED_ORDERS for scale in (1.0, 2.5)]
DRAFT = {"draft_threshold": 0.001, "guidance_scale": 2.5}
SETTINGS.append(DRAFT)
PICTURES = 22  # cuts a latent frame in two


def clip(frames: int = 11, seed: int = 0) -> np.ndarray:
    return to_frames(noise_clip(1, frames, 16, 24, seed=seed))[0].numpy()


def taken(stream, count: int) -> np.ndarray:
    return np.stack(list(islice(stream, count)))


def called(pipe: VideoPipeline, prompt: str, frames: int = PICTURES, **options) -> np.ndarray:
    return pipe(prompt, num_frames=frames, output_type="uint8", **options).frames[0]


@pytest.mark.parametrize("options", SETTINGS, ids=lambda options: "-".join(map(str, options.values())))
def test_a_stream_equals_the_call_and_the_oracle(pipe, options):
    offline = called(pipe, RING, generator=5, num_inference_steps=3, **options)
    streamed = taken(pipe.stream(RING, generator=5, num_inference_steps=3, **options), PICTURES)
    assert np.array_equal(streamed, offline)
    ids = pipe(RING, num_frames=PICTURES, generator=5, num_inference_steps=3, output_type="codes", **options).frames
    sampler = pipe.sampler_with({"steps": 3, **options})
    slow = codes_of(pipe, [(RING, ids.shape[1])], 5, sampler, empty_context(pipe.model, 1).codes_BTNK)
    assert torch.equal(ids, slow[0])
    assert np.array_equal(frames_of(pipe, slow[0][:, :0], slow)[:PICTURES], offline)


def test_an_autoregressive_stream_equals_the_call_and_the_oracle(autoregressive_pipe):
    for options in (
        {"order": "autoregressive"},
        {"order": "raster"},
        {"order": "autoregressive", "guidance_scale": 3.0},
    ):
        offline = called(autoregressive_pipe, RING, generator=5, **options)
        assert np.array_equal(taken(autoregressive_pipe.stream(RING, generator=5, **options), PICTURES), offline)
    surest = [
        called(autoregressive_pipe, RING, generator=5, order=order, temperature=0)
        for order in ("autoregressive", "raster")
    ]
    assert np.array_equal(*surest)


@pytest.mark.parametrize("settings", [{}, {"guidance_scale": 2.0}, DRAFT], ids=str)
@pytest.mark.parametrize("transition", ["recache", "cut"])
def test_a_new_prompt_gives_the_past_of_the_same_frames_under_it(pipe, settings, transition):
    cut = transition == "cut"
    stream = pipe.stream(RING, generator=9, num_inference_steps=3, transition=transition, **settings)
    first = taken(stream, 1 + 4 * 4 - 2)  # two frames of the fifth latent frame are still to come
    stream.prompt = STAR
    second = taken(stream, 2 + (1 if cut else 4) + 8)
    known = empty_context(pipe.model, 1).codes_BTNK
    sampler = pipe.sampler_with({"steps": 3, **settings})
    slow = codes_of(pipe, [(RING, 5), (STAR, 3)], 9, sampler, known, cut)
    assert np.array_equal(np.concatenate([first, second]), frames_of(pipe, known, slow, cut))


def test_setting_the_same_prompt_again_changes_no_bit(pipe):
    offline, stream = called(pipe, RING, 30, generator=2), pipe.stream(RING, generator=2)
    parts = []
    for _ in range(10):
        stream.prompt = STAR
        stream.prompt = RING
        parts.append(taken(stream, 3))
    assert np.array_equal(np.concatenate(parts), offline)


@pytest.mark.parametrize("settings", [{}, DRAFT], ids=str)
@pytest.mark.parametrize("beginning", ["video", "image"])
def test_a_streamed_continuation_equals_the_call(pipe, beginning, settings):
    given = {"video": clip()} if beginning == "video" else {"image": clip()[0]}
    offline = called(pipe, RING, generator=5, **given, **settings)
    assert np.array_equal(taken(pipe.stream(RING, generator=5, **given, **settings), PICTURES), offline)
    known = pipe.conditioning(given.get("video"), given.get("image"), None, None)
    slow = codes_of(pipe, [(RING, 6)], 5, pipe.sampler_with(settings), known.context.codes_BTNK)
    after = frames_of(pipe, known.context.codes_BTNK, slow)
    shown = len(known.frames[0])
    assert shown == (beginning == "image")
    assert np.array_equal(offline[shown:], after[: PICTURES - shown])


def test_a_stream_can_be_read_in_any_pieces(pipe):
    offline, draw = called(pipe, RING, 40, generator=1), random.Random(0)
    for _ in range(3):
        stream, parts = pipe.stream(RING, generator=1, num_frames=40), []
        while part := list(islice(stream, draw.randint(1, 9))):
            parts.extend(part)
        assert np.array_equal(np.stack(parts), offline)


@pytest.mark.parametrize("order", [*MASKED_ORDERS, "autoregressive"])
def test_a_saved_stream_can_be_restored_twice(pipe, autoregressive_pipe, order):
    pipe = autoregressive_pipe if order == "autoregressive" else pipe
    stream = pipe.stream(RING, generator=4, order=order, guidance_scale=1.5, num_inference_steps=3)
    taken(stream, 7)
    state = stream.state()
    future = taken(stream, 17)
    assert np.array_equal(taken(pipe.restore(state), 17), future)
    again = pipe.restore(state, num_frames=17)
    assert np.array_equal(np.stack(list(again)), future)


@pytest.mark.parametrize("transition", ["recache", "cut"])
def test_a_saved_stream_includes_a_pending_prompt(pipe, transition):
    stream = pipe.stream(RING, generator=4, transition=transition)
    taken(stream, 10)  # of 13 made
    stream.prompt = STAR
    state = stream.state()
    future = taken(stream, 20)
    assert not np.array_equal(future, called(pipe, RING, 30, generator=4)[10:])
    for _ in range(2):
        restored = pipe.restore(state)
        assert restored.prompt == STAR
        assert np.array_equal(taken(restored, 20), future)


def test_a_stream_ends_after_num_frames_or_close(pipe):
    stream = pipe.stream(RING, num_frames=6, generator=0)
    assert len(list(stream)) == 6
    assert list(stream) == []
    stream = pipe.stream(RING, generator=0)
    next(stream)
    past = weakref.ref(stream.generation.rollout.past.keys[0])
    stream.close()
    assert past() is None, "what it remembered is most of its memory"
    assert list(stream) == []
    with pytest.raises(UsageError, match="closed"):
        stream.state()


def test_a_stream_that_was_interrupted_inside_a_frame_is_closed(pipe, monkeypatch):
    """Its cache was mutated; continuing would silently give another video."""
    stream = pipe.stream(RING, generator=0)
    taken(stream, 5)
    monkeypatch.setattr(pipe.model.tokenizer.network, "decode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(stream)
    monkeypatch.undo()
    assert list(stream) == []
    with pytest.raises(UsageError, match="interrupted"):
        stream.state()


def test_a_stream_has_stats(pipe):
    stream = pipe.stream(RING, generator=0, num_inference_steps=2, num_frames=10)
    list(stream)
    report = stream.stats.report()
    assert (report["latent_frames"], report["frames"], report["proposals_per_latent_frame"]) == (4, 13, 2.0)
    assert report["seconds_to_first_frame"] > 0
    assert report["frames_per_second"] > 0
    assert report["prior_ms_per_latent_frame"] > 0
    assert report["decoder_ms_per_latent_frame"] > 0


def test_a_stream_of_another_frame_size(pipe):
    with pytest.warns(UserWarning, match="24 x 16"):
        stream = pipe.stream(RING, generator=0, height=24, width=16)
    assert next(stream).shape == (24, 16, 3)


def test_unknown_attributes_of_a_stream_cannot_be_set(pipe):
    stream = pipe.stream(RING, generator=2)
    for name in ("promt", "guidance_scale", "negative_prompt"):
        with pytest.raises(UsageError, match=name):
            setattr(stream, name, "a ring")


def test_frames_of_a_stream_share_no_memory(pipe):
    stream, offline = pipe.stream(RING, generator=2), called(pipe, RING, 12, generator=2)
    taken(stream, 3)
    state = stream.state()
    first = pipe.restore(state)
    for other in (stream, first):
        for _ in range(4):
            next(other)[:] = 255
    assert np.array_equal(taken(pipe.restore(state), 9), offline[3:])


@pytest.mark.parametrize(("name", "value"), [("prompt", None), ("prompt", 3), ("transition", "fade")])
def test_an_invalid_prompt_or_transition_is_refused_when_it_is_set(pipe, name, value):
    stream, offline = pipe.stream(RING, generator=2), called(pipe, RING, 12, generator=2)
    first = taken(stream, 3)
    with pytest.raises(UsageError, match=f"{name} is"):
        setattr(stream, name, value)
    assert np.array_equal(np.concatenate([first, taken(stream, 9)]), offline), "and nothing has happened"


@pytest.mark.parametrize("turn", [new_scene, switch_prompt])
def test_a_new_prompt_starts_a_scene(pipe, turn):
    request = pipe.request((RING,), None, 1, [4], {"steps": 3, "first_frames_step_multiplier": 2})
    state, counts = prefill(pipe.model, request), []
    for number in range(6):
        if number == 3:
            request = replace(request, prompts=(STAR,))
            state = turn(pipe.model, request, state)
        state, output = step(pipe.model, request, state)
        counts += output.steps_B.tolist()
    assert counts == [6, 6, 3, 6, 6, 3]
