import itertools

import pytest
import torch

from interfaces.prior import clone_tensors
from interfaces.tokens import TokenGroup, TokenSpec
from prior import laws
from prior import model as prior_model
from prior.config import ContextConfig
from prior.head_config import ChainConfig, DepthConfig, FlatConfig
from prior.laws import proposals
from tests.prior.models import FEATURES, WORDS, every_frame, tiny_batch, tiny_config, tiny_model

CODEBOOKS = ((11,), (4, 3), (3, 2, 2))
CONTEXTS = (None, WORDS, FEATURES)
EVERY = list(itertools.product(("masked", "autoregressive"), CONTEXTS))


def kinds(objective, context):
    """A model and a batch for it, with a short or a long window."""
    for window, seed in ((1, 0), (2, 1), (9, 2)):
        config = tiny_config(objective, CODEBOOKS[seed], window, context)
        yield tiny_model(config, seed), tiny_batch(config, frames=4, noise=0.3, seed=seed)


def context_id(value):
    if isinstance(value, ContextConfig):
        return "words" if value.vocabulary else "features"
    return "no context" if value is None else str(value)


@pytest.mark.parametrize(("objective", "context"), EVERY, ids=lambda value: context_id(value)[:8])
def test_training_equals_streaming(objective, context):
    for model, batch in kinds(objective, context):
        with torch.no_grad():
            features = model.features(batch)
        for t, proposal in enumerate(proposals(model, batch)):
            torch.testing.assert_close(proposal.features, features[:, t], rtol=0, atol=1e-12)
        verdict = laws.streaming_is_the_training_path(model.float(), batch, 1e-5)
        assert verdict.held, (model.config, verdict)


@pytest.mark.parametrize("codebooks", CODEBOOKS, ids=str)
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_the_laws_hold_for_any_codebooks(objective, codebooks):
    config = tiny_config(objective, codebooks, context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config, noise=0.5)
    assert laws.streaming_is_the_training_path(model, batch, 1e-6).held
    assert laws.a_row_of_a_batch_is_the_row_alone(model, batch, 1e-6).held


@pytest.mark.parametrize("head", [DepthConfig(layers=1, width=16, heads=2), FlatConfig()], ids=lambda head: head.kind)
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_the_laws_hold_for_any_head(objective, head):
    config = tiny_config(objective, (3, 2, 2), context=WORDS, head=head)
    model, batch = tiny_model(config), tiny_batch(config, noise=0.5)
    assert laws.streaming_is_the_training_path(model, batch, 1e-6).held
    assert laws.a_row_of_a_batch_is_the_row_alone(model, batch, 1e-6).held
    assert laws.advancing_is_committing_and_proposing(model, batch, 1e-6).held


@pytest.mark.parametrize("context", [None, WORDS], ids=context_id)
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_the_laws_of_the_past_hold(objective, context):
    config = tiny_config(objective, context=context)
    model, batch = tiny_model(config), tiny_batch(config, frames=5, noise=0.25)
    for verdict in (
        laws.proposing_twice_is_proposing_once(model, batch),
        laws.a_copied_past_resumes(model, batch),
        laws.advancing_is_committing_and_proposing(model, batch, 1e-6),
        laws.a_past_does_not_grow(model, batch, 3),
        laws.a_row_of_a_batch_is_the_row_alone(model, batch, 1e-6),
    ):
        assert verdict.held, verdict


@pytest.mark.parametrize("context", [None, WORDS], ids=context_id)
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_proposals_are_the_same_a_million_frames_later(objective, context):
    config = tiny_config(objective, context=context, layers=3)
    batch = tiny_batch(config, frames=7)
    verdict = laws.shifting_a_stream_changes_nothing(tiny_model(config), batch, 1e-4)
    assert verdict.held, verdict
    verdict = laws.shifting_a_stream_changes_nothing(tiny_model(config).float(), batch, 1e-4)
    assert verdict.held, verdict


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_streams_with_different_frame_numbers_agree(objective):
    """After layers x window frames, the start has no influence."""
    config = tiny_config(objective, window=2, context=WORDS, layers=2)
    model = tiny_model(config)
    batch = tiny_batch(config, frames=config.layers * config.window + 3)
    late = laws.start_past(model, batch)._replace(frames=torch.tensor(1_000_000))
    pairs = zip(proposals(model, batch), proposals(model, batch, late), strict=True)
    met = [laws.distance(*pair, batch.targets[:, t]) for t, pair in enumerate(pairs)]
    assert max(met[config.layers * config.window + 1 :]) < 1e-5
    assert met[0] > 1e-3  # the blank places of the ring are seen in a stream that never began


def test_a_late_stream_differs_where_positions_are_rounded(monkeypatch):
    from prior import rotary

    def in_float32(places_SP, channels, theta):
        exponents = torch.arange(0, channels, 2, dtype=torch.float32) / channels
        angles = (places_SP.float() * 1.0001) * theta**-exponents
        return rotary.RotaryCache(angles.cos(), angles.sin())

    config = tiny_config()
    monkeypatch.setattr(rotary, "rotary_at", in_float32)
    monkeypatch.setattr(prior_model, "cached_rotary", prior_model.rotary_of)  # those that are kept are none of these
    assert not laws.shifting_a_stream_changes_nothing(tiny_model(config), tiny_batch(config), 1e-4).held


def test_the_laws_catch_a_commit_to_the_wrong_slot(monkeypatch):
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    commit = model.commit

    def late(past, present):
        gone = commit(past._replace(frames=past.frames + 1), present)
        return gone._replace(frames=past.frames + 1)

    monkeypatch.setattr(model, "commit", late)
    assert not laws.streaming_is_the_training_path(model, batch, 1e-3).held
    assert not laws.advancing_is_committing_and_proposing(model, batch, 1e-3).held


def test_the_laws_catch_a_model_that_keeps_state_on_itself(monkeypatch):
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    calls, stream = itertools.count(), model.stream

    def restless(x_BSC, *rest):
        return stream(x_BSC + next(calls), *rest)

    monkeypatch.setattr(model, "stream", restless)
    assert not laws.proposing_twice_is_proposing_once(model, batch).held
    assert not laws.a_copied_past_resumes(model, batch).held
    assert not laws.a_row_of_a_batch_is_the_row_alone(model, batch, 1e-6).held


def test_the_laws_catch_a_proposal_that_is_written_into_the_past(monkeypatch):
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    propose = model.propose

    def careless(codes, known, past, *rest):
        answer = propose(codes, known, past, *rest)
        for keys in past.keys:
            keys.mul_(1.5)
        return answer

    monkeypatch.setattr(model, "propose", careless)
    assert not laws.proposing_twice_is_proposing_once(model, batch).held


def test_the_laws_catch_a_past_that_grows(monkeypatch):
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    commit = model.commit
    monkeypatch.setattr(model, "commit", lambda past, present: commit(clone_tensors(past), present))
    assert not laws.a_past_does_not_grow(model, batch, 2).held


def test_nan_is_never_equal():
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    model.norm.weight.data.fill_(torch.nan)
    assert not laws.streaming_is_the_training_path(model, batch, 1e9).held
    assert not laws.advancing_is_committing_and_proposing(model, batch, 1e9).held


def test_a_stream_needs_one_noise_rate():
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config, frames=2)
    with pytest.raises(ValueError, match="noise rates"):
        laws.start_past(model, batch._replace(noise_B=torch.tensor([0.0, 0.5])))


def test_the_noise_rate_is_an_input():
    config = tiny_config(context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config)
    other = batch._replace(noise_B=batch.noise_B + 0.5)
    assert (model.features(batch) - model.features(other)).abs().max() > 1e-3


@pytest.mark.parametrize("head", [ChainConfig(), DepthConfig(layers=1, width=8, heads=2), FlatConfig()], ids=str)
@pytest.mark.parametrize("groups", [((3,),), ((1,), (1, 2))], ids=["a line", "coarse and fine"])
def test_the_likelihoods_of_all_latent_frames_sum_to_one(groups, head):
    """By brute force: three tokens of 2 x 2 codes in decode order are 64 latent frames."""
    named = tuple(TokenGroup(str(number), shape) for number, shape in enumerate(groups))
    config = tiny_config("autoregressive", spec=TokenSpec((2, 2), named, 4), context=WORDS, head=head)
    with torch.no_grad():
        nats = tiny_model(config)(every_frame(config)).nats[:, 1].sum(-1)
    assert len(nats) == 64
    torch.testing.assert_close(nats.neg().exp().sum(), torch.ones(()), rtol=1e-5, atol=0)
