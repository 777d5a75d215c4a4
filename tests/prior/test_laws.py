import itertools

import pytest
import torch

from prior import laws
from prior import model as prior_model
from prior.config import ContextConfig
from prior.laws import proposals
from prior.memory import copied
from prior.model import Lesson
from tests.prior.models import FEATURES, WORDS, tiny_config, tiny_lesson, tiny_model

DIGITS = ((11,), (4, 3), (3, 2, 2))
CONTEXTS = (None, WORDS, FEATURES)
EVERY = list(itertools.product(("masked", "next"), (0, 1, 2), CONTEXTS))


def kinds(objective, sinks, context):
    """A model and lessons for it: over a short and a long window, digits taking turns."""
    for window, seed in ((1, 0), (2, 1), (9, 2)):
        digits = DIGITS[(sinks + seed) % len(DIGITS)]
        config = tiny_config(objective, digits, window, sinks, context)
        yield tiny_model(config, seed), tiny_lesson(config, frames=4, rate=0.3, seed=seed)


def told(value):
    if isinstance(value, ContextConfig):
        return "words" if value.vocabulary else "features"
    return "untold" if value is None else str(value)


@pytest.mark.parametrize(("objective", "sinks", "context"), EVERY, ids=lambda value: told(value)[:8])
def test_training_answers_equal_streaming_proposals(objective, sinks, context):
    for model, lesson in kinds(objective, sinks, context):
        with torch.no_grad():
            features = model.features(lesson)
        for t, proposal in enumerate(proposals(model, lesson)):
            torch.testing.assert_close(proposal.features, features[:, t], rtol=0, atol=1e-12)
        verdict = laws.streaming_is_the_training_path(model.float(), lesson, 1e-5)
        assert verdict.held, (model.config, verdict)


@pytest.mark.parametrize("digits", DIGITS, ids=str)
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_digits_make_no_difference_to_the_laws(objective, digits):
    config = tiny_config(objective, digits, sinks=1, context=WORDS)
    model, lesson = tiny_model(config), tiny_lesson(config, rate=0.5)
    assert laws.streaming_is_the_training_path(model, lesson, 1e-6).held
    assert laws.a_row_of_a_batch_is_the_row_alone(model, lesson, 1e-6).held


@pytest.mark.parametrize("context", [None, WORDS], ids=told)
@pytest.mark.parametrize("sinks", [0, 1, 2])
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_past_is_used_and_kept_as_promised(objective, sinks, context):
    config = tiny_config(objective, sinks=sinks, context=context)
    model, lesson = tiny_model(config), tiny_lesson(config, frames=5, rate=0.25)
    for verdict in (
        laws.proposing_twice_is_proposing_once(model, lesson),
        laws.a_copied_past_resumes(model, lesson),
        laws.advancing_is_committing_and_proposing(model, lesson, 1e-6),
        laws.a_past_does_not_grow(model, lesson, 3),
        laws.a_row_of_a_batch_is_the_row_alone(model, lesson, 1e-6),
    ):
        assert verdict.held, verdict


@pytest.mark.parametrize("context", [None, WORDS], ids=told)
@pytest.mark.parametrize("sinks", [0, 1, 2])
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_million_frames_later_the_answers_are_the_same(objective, sinks, context):
    config = tiny_config(objective, sinks=sinks, context=context, layers=3)
    lesson = tiny_lesson(config, frames=7)
    verdict = laws.shifting_a_stream_changes_nothing(tiny_model(config), lesson, 1e-4)
    assert verdict.held, verdict
    verdict = laws.shifting_a_stream_changes_nothing(tiny_model(config).float(), lesson, 1e-4)
    assert verdict.held, verdict


@pytest.mark.parametrize("sinks", [0, 1, 2])
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_stream_from_its_beginning_and_one_a_million_frames_on_meet(objective, sinks):
    """After layers x window frames nothing is left of how a stream began, but for its sinks."""
    config = tiny_config(objective, window=2, sinks=sinks, context=WORDS, layers=2)
    model = tiny_model(config)
    frames = sinks + config.layers * config.window + 3
    lesson = tiny_lesson(config, frames=frames)
    past = laws.lived(model, lesson, laws.begun(model, lesson), 0, sinks)
    late = copied(past)._replace(frames=torch.tensor(1_000_000))
    pairs = list(zip(proposals(model, lesson, past, sinks), proposals(model, lesson, late, sinks), strict=True))
    met = [laws.apart(*pair, lesson.targets[:, t]) for t, pair in enumerate(pairs, sinks)]
    assert max(met[config.layers * config.window :]) < 1e-5
    assert met[0] > 1e-3  # the blank places of the ring are seen in a stream that never began


def test_a_late_stream_differs_where_positions_are_rounded(monkeypatch):
    from prior import rotary

    def in_float32(places_SP, channels, theta):
        exponents = torch.arange(0, channels, 2, dtype=torch.float32) / channels
        angles = (places_SP.float() * 1.0001) * theta**-exponents
        return rotary.Turns(angles.cos(), angles.sin())

    config = tiny_config()
    monkeypatch.setattr(rotary, "turned_by", in_float32)
    monkeypatch.setattr(prior_model, "cached_rotary", prior_model.turns_of)  # those that are kept are none of these
    assert not laws.shifting_a_stream_changes_nothing(tiny_model(config), tiny_lesson(config), 1e-4).held


def test_the_laws_catch_a_commit_in_the_wrong_place(monkeypatch):
    config = tiny_config(sinks=1)
    model, lesson = tiny_model(config), tiny_lesson(config)
    commit = model.commit

    def late(past, present):
        gone = commit(past._replace(frames=past.frames + 1), present)
        return gone._replace(frames=past.frames + 1)

    monkeypatch.setattr(model, "commit", late)
    assert not laws.streaming_is_the_training_path(model, lesson, 1e-3).held
    assert not laws.advancing_is_committing_and_proposing(model, lesson, 1e-3).held


def test_the_laws_catch_a_model_that_keeps_state_on_itself(monkeypatch):
    config = tiny_config()
    model, lesson = tiny_model(config), tiny_lesson(config)
    calls, stream = itertools.count(), model.stream

    def restless(x_BSC, *rest):
        return stream(x_BSC + next(calls), *rest)

    monkeypatch.setattr(model, "stream", restless)
    assert not laws.proposing_twice_is_proposing_once(model, lesson).held
    assert not laws.a_copied_past_resumes(model, lesson).held
    assert not laws.a_row_of_a_batch_is_the_row_alone(model, lesson, 1e-6).held


def test_the_laws_catch_a_proposal_that_is_written_into_the_past(monkeypatch):
    config = tiny_config()
    model, lesson = tiny_model(config), tiny_lesson(config)
    propose = model.propose

    def careless(ids_Bhw, past):
        answer = propose(ids_Bhw, past)
        for keys in past.keys:
            keys.mul_(1.5)
        return answer

    monkeypatch.setattr(model, "propose", careless)
    assert not laws.proposing_twice_is_proposing_once(model, lesson).held


def test_the_laws_catch_a_past_that_grows(monkeypatch):
    config = tiny_config()
    model, lesson = tiny_model(config), tiny_lesson(config)
    commit = model.commit
    monkeypatch.setattr(model, "commit", lambda past, present: commit(copied(past), present))
    assert not laws.a_past_does_not_grow(model, lesson, 2).held


def test_what_is_no_number_is_no_equality():
    config = tiny_config()
    model, lesson = tiny_model(config), tiny_lesson(config)
    model.norm.weight.data.fill_(torch.nan)
    assert not laws.streaming_is_the_training_path(model, lesson, 1e9).held
    assert not laws.advancing_is_committing_and_proposing(model, lesson, 1e9).held


def test_a_stream_has_one_rate_and_more_frames_than_sinks():
    config = tiny_config(sinks=2)
    model, lesson = tiny_model(config), tiny_lesson(config, frames=2)
    with pytest.raises(ValueError, match="has 2 frames"):
        laws.shifting_a_stream_changes_nothing(model, lesson, 1e-4)
    with pytest.raises(ValueError, match="a stream has one"):
        laws.begun(model, lesson._replace(rate_B=torch.tensor([0.0, 0.5])))


def test_the_rate_of_corruption_is_an_input():
    config = tiny_config(context=WORDS)
    model, lesson = tiny_model(config), tiny_lesson(config)
    other = Lesson(*lesson[:-1], lesson.rate_B + 0.5)
    assert (model.features(lesson) - model.features(other)).abs().max() > 1e-3
