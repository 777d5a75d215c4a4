import pytest
import torch

from prior.laws import begun, lived, nothing_decided, proposals, random_batch
from prior.model import TokenProposal
from tests.prior.models import FEATURES, WORDS, tiny_config, tiny_lesson, tiny_model


@pytest.mark.parametrize("digits", [(11,), (3, 2, 2)], ids=str)
@pytest.mark.parametrize("context", [None, WORDS], ids=["untold", "words"])
@pytest.mark.parametrize("sinks", [0, 2])
def test_token_after_token_it_answers_as_in_training(sinks, context, digits):
    config = tiny_config("next", digits, sinks=sinks, context=context)
    model, lesson = tiny_model(config), tiny_lesson(config, frames=6)
    with torch.no_grad():
        features = model.features(lesson).flatten(2, 3)
    written = config.vocabulary.to_digits(lesson.targets.flatten(2))
    past = begun(model, lesson)
    for t in range(6):
        ids_BN = lesson.clean[:, t].flatten(1)
        for n in range(6):
            proposal = model.next_token(ids_BN[:, :n], past)
            torch.testing.assert_close(proposal.features[:, 0, 0], features[:, t, n], rtol=0, atol=1e-12)
            for place in range(len(digits)):
                known = written[:, t, n, :place]
                expected = model.head(features[:, t, n], known)
                assert torch.equal(proposal.logits(known[:, None, None])[:, 0, 0], expected) or torch.allclose(
                    proposal.logits(known[:, None, None])[:, 0, 0], expected, rtol=1e-6
                )
        past = lived(model, lesson, past, t, t + 1)


def test_a_proposal_in_raster_order_knows_nothing_of_later_tokens():
    config = tiny_config("next")
    model, lesson = tiny_model(config), tiny_lesson(config)
    past = lived(model, lesson, begun(model, lesson), 0, 3)
    ids = lesson.clean[:, 3]
    features = model.propose(ids, past)[0].features.flatten(1, 2)
    for n in range(6):
        other = ids.flatten(1).clone()
        other[:, n:] = config.vocabulary.mask
        again = model.propose(other.view_as(ids), past)[0].features.flatten(1, 2)
        torch.testing.assert_close(again[:, : n + 1], features[:, : n + 1], rtol=0, atol=0)
        assert n == 5 or (again[:, n + 1 :] - features[:, n + 1 :]).abs().amax(-1).min() > 1e-6


@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_corrupted_memory_is_remembered_and_the_truth_is_asked_for(objective):
    config = tiny_config(objective, context=WORDS)
    model, lesson = tiny_model(config), tiny_lesson(config, rate=0.5)
    assert (lesson.clean != lesson.targets).any()
    answers = model(lesson)
    features = model.features(lesson)
    torch.testing.assert_close(answers.nats, model.head.answers(features, lesson.targets).nats)
    other = lesson._replace(clean=lesson.targets)
    assert (model.features(other) - features).abs().max() > 1e-3


@pytest.mark.parametrize("objective", ["masked", "next"])
def test_making_activations_again_changes_no_bit_of_the_gradients(objective):
    config = tiny_config(objective, sinks=1, context=FEATURES, layers=3)
    model, lesson = tiny_model(config), tiny_lesson(config, rate=0.5)
    gradients = []
    for recompute in (False, True):
        model.zero_grad()
        answers = model(lesson, smoothing=0.1, recompute=recompute)
        answers.loss.mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


@pytest.mark.parametrize("objective", ["masked", "next"])
def test_every_weight_is_taught(objective):
    config = tiny_config(objective, sinks=1, context=WORDS)
    model, lesson = tiny_model(config), tiny_lesson(config, batch=8, rate=0.5)
    model(lesson).loss.mean().backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert idle == ({"embedding.start"} if objective == "masked" else {"embedding.masked"})


def test_both_objectives_load_each_others_weights():
    states = [tiny_model(tiny_config(objective)).state_dict() for objective in ("masked", "next")]
    assert {name: each.shape for name, each in states[0].items()} == {n: each.shape for n, each in states[1].items()}


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("context", [WORDS, FEATURES], ids=["words", "features"])
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_it_trains_and_streams_under_autocast(objective, context, qk_norm):
    config = tiny_config(objective, (512, 125), context=context, sinks=1, qk_norm=qk_norm)
    model, lesson = tiny_model(config).float(), tiny_lesson(config)
    with torch.no_grad():
        exact = model.features(lesson)
    with torch.autocast("cpu", torch.bfloat16):
        ids = torch.arange(config.vocabulary.size)
        assert torch.equal(config.vocabulary.to_ids(config.vocabulary.to_digits(ids)), ids)
        answers = model(lesson)
        answers.loss.mean().backward()
        features = model.features(lesson)
        streamed = torch.stack([proposal.features for proposal in proposals(model, lesson)], 1)
        proposal = next(proposals(model, lesson))
    assert answers.loss.dtype == answers.nats.dtype == proposal.logits(torch.zeros(2, 2, 3, 0).long()).dtype
    assert answers.loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    for rounded in (features, streamed):
        assert (rounded.float() - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("context", [None, WORDS, FEATURES], ids=["untold", "words", "features"])
@pytest.mark.parametrize("objective", ["masked", "next"])
def test_it_runs_with_weights_in_bfloat16(objective, context):
    config = tiny_config(objective, context=context, sinks=1)
    model, lesson = tiny_model(config).bfloat16(), tiny_lesson(config)
    features = model.features(lesson)
    assert features.dtype == torch.bfloat16
    for t, proposal in enumerate(proposals(model, lesson)):
        assert (proposal.features - features[:, t]).abs().max() < 0.1 * features.abs().max()
        assert proposal.logits(torch.zeros(2, 2, 3, 0).long()).dtype == torch.float32


def test_what_is_proposed_has_the_shape_of_a_frame():
    config = tiny_config(digits=(4, 3))
    model, lesson = tiny_model(config), tiny_lesson(config)
    past = begun(model, lesson)
    proposal, present = model.propose(nothing_decided(model, lesson), past)
    assert isinstance(proposal, TokenProposal)
    assert proposal.logits(torch.zeros(2, 2, 3, 0).long()).shape == (2, 2, 3, 4)
    assert proposal.logits(torch.zeros(2, 2, 3, 1).long()).shape == (2, 2, 3, 3)
    assert not proposal.features.requires_grad
    past, _ = model.advance(lesson.clean[:, 0], past)
    assert (int(past.frames), past.last_B.tolist()) == (1, lesson.clean[:, 0, -1, -1].tolist())
    assert present.keys[0].shape == (2, config.kv_heads, 6, 12)


def test_one_token_and_one_frame_are_enough():
    config = tiny_config("masked", window=1)
    lesson = random_batch(config, 1, 1, (1, 1), torch.Generator().manual_seed(0))
    model = tiny_model(config)
    assert model(lesson).nats.shape == (1, 1, 1, 1)
    assert next(proposals(model, lesson)).features.shape == (1, 1, 1, 32)
