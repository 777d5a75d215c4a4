import resource

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from interfaces.prior import clone_tensors
from prior import laws
from prior.laws import commit_frames, proposals, start_past
from prior.memory import Past, cache_slot
from tests.prior.models import WORDS, tiny_batch, tiny_config, tiny_model


@given(window=st.integers(1, 5), words=st.booleans(), frames=st.integers(1, 30))
def test_the_ring_holds_the_window_and_the_frame_itself_and_nothing_else(window, words, frames):
    config, tokens = tiny_config(window=window, context=WORDS if words else None), 3
    rows: dict[int, int] = {}
    for frame in range(frames):
        place = cache_slot(config, frame, tokens)
        assert place.end - place.start == tokens
        rows |= dict.fromkeys(range(place.start, place.end), frame)
        assert set(rows) == set(range(config.context_length, place.visible))
        seen = {rows[row] for row in range(config.context_length, place.visible)}
        needed = {t for t in range(frame + 1) if frame - t <= window}
        assert seen == needed


@pytest.mark.parametrize("context", [None, WORDS], ids=["no context", "words"])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_ten_rings_of_frames_equal_the_windowed_reference_in_the_same_memory(objective, context):
    config = tiny_config(objective, window=2, context=context)
    model, batch = tiny_model(config), tiny_batch(config, batch=1, frames=10 * (2 + 1))
    with torch.no_grad():
        features = model.features(batch)
    past = start_past(model, batch)
    places = laws.memory(model, past)
    for t, proposal in enumerate(proposals(model, batch, past)):
        torch.testing.assert_close(proposal.features, features[:, t], rtol=0, atol=1e-11)
    assert laws.memory(model, past) == places


def test_cropping_the_clip_is_not_the_reference():
    """Keys depend on the frames before the window, so the frames of the window alone give another result."""
    config = tiny_config(window=2)
    model, batch = tiny_model(config), tiny_batch(config, frames=8)
    with torch.no_grad():
        whole = model.features(batch)[:, -1]
        last = {"targets": batch.targets[:, -3:], "clean": batch.clean[:, -3:], "known": batch.known[:, -3:]}
        cropped = model.features(batch._replace(**last))
    assert (whole - cropped[:, -1]).abs().max() > 1e-3


def test_a_saved_past_resumes_to_the_same_bits():
    config = tiny_config(context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config, frames=8)
    past = commit_frames(model, batch, start_past(model, batch), 0, 5)
    parts = {f"keys.{n}": each for n, each in enumerate(past.keys)}
    parts |= {f"values.{n}": each for n, each in enumerate(past.values)}
    parts |= {"frames": past.frames, "last": past.last}
    loaded = load(save(parts))
    layers = range(config.layers)
    keys, values = (tuple(loaded[f"{part}.{n}"] for n in layers) for part in ("keys", "values"))
    resumed = Past(keys, values, loaded["frames"], loaded["last"], past.spec)
    for one, two in zip(proposals(model, batch, past, 5), proposals(model, batch, resumed, 5), strict=True):
        assert torch.equal(one.features, two.features)


def test_a_copy_shares_no_memory():
    config = tiny_config(context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config)
    past = start_past(model, batch)
    addresses = [
        {each.data_ptr() for each in (*kept.keys, *kept.values, kept.frames, kept.last)}
        for kept in (past, clone_tensors(past))
    ]
    assert not addresses[0] & addresses[1]


def test_a_present_is_valid_after_other_proposals():
    """The present of a proposal can be committed after other proposals."""
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    known = laws.all_known(batch)
    past, expected = start_past(model, batch), start_past(model, batch)
    for t in range(4):
        _, present = model.propose(batch.clean[:, t], known, past)
        for other, other_known in ((batch.clean[:, t].flip(1), known), (batch.clean[:, t], ~known)):
            model.propose(other, other_known, past)
        past = model.commit(past, present)
        expected = model.commit(expected, model.propose(batch.clean[:, t], known, expected)[1])
        pairs = zip(model.visible(past), model.visible(expected), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_codes_may_be_overwritten_after_the_call(objective):
    """A sampler may fill the same tensor in place at every step."""
    config = tiny_config(objective)
    model, batch = tiny_model(config), tiny_batch(config)
    past, expected = start_past(model, batch), start_past(model, batch)
    frame = torch.empty_like(batch.clean[:, 0])
    for t in range(4):
        _, present = model.propose(frame.copy_(batch.clean[:, t]), laws.all_known(batch), past)
        frame.fill_(0)
        past = model.commit(past, present)
        expected = commit_frames(model, batch, expected, t, t + 1)
        ahead = (model.advance(batch.clean[:, t + 1], clone_tensors(each))[1].features for each in (past, expected))
        assert torch.equal(*ahead)
        fused, _ = model.advance(frame.copy_(batch.clean[:, t + 1]), clone_tensors(past))
        frame.fill_(0)
        assert torch.equal(fused.last, batch.clean[:, t + 1, -1])


@pytest.mark.slow
def test_ten_thousand_frames_take_no_more_memory_than_a_thousand():
    config = tiny_config(window=3, context=WORDS)
    model, batch = tiny_model(config).float(), tiny_batch(config, batch=1, frames=10)
    past = start_past(model, batch)
    places, peaks = laws.memory(model, past), []
    for _ in range(1000):
        past = commit_frames(model, batch, past, 0, 10)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert int(past.frames) == 10_000
    assert laws.memory(model, past) == places
    assert peaks[-1] < 1.01 * peaks[99]
