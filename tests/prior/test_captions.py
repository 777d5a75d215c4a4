"""Captions: the training pass, the stream and the definition agree, and a caption depends on what it should."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from interfaces.prior import Text, clone_tensors
from prior import caption_laws, laws
from prior.captioning import begin_caption, caption_nats, extend_caption
from prior.captions import END, caption_targets
from prior.config import ContextConfig, PriorConfig
from prior.model import LlamaPrior
from tests.prior.models import FEATURES, WORDS, tiny_config, tiny_model

OBJECTIVES = ("masked", "autoregressive")
every_objective = pytest.mark.parametrize("objective", OBJECTIVES)


def captioning_config(objective="masked", context=WORDS, **changes) -> PriorConfig:
    return replace(tiny_config(objective, context=context, **changes), captions=True)


def captioning_batch(config: PriorConfig, batch=2, frames=5, seed=0):
    return caption_laws.random_caption_batch(config, batch, frames, config.spec, torch.Generator().manual_seed(seed))


def row_sums(losses, counted_BL):
    return (losses.nats.double() * counted_BL).sum(1)


@every_objective
def test_captions_of_a_stream_equal_training(objective):
    for (window, frames), seed in zip(((1, 1), (1, 4), (2, 5), (9, 4), (2, 1)), range(5), strict=True):
        config = captioning_config(objective, window=window)
        model, batch = tiny_model(config, seed), captioning_batch(config, batch=4, frames=frames, seed=seed)
        for verdict in (
            caption_laws.captions_are_the_training_path(model, batch, 1e-6),  # logits are float32
            caption_laws.captions_leave_the_past_unchanged(model, batch),
        ):
            assert verdict.held, (config, verdict)
        features = model.all_features(batch)[1]
        past = caption_laws.past_of(model, batch)
        ids_BL = caption_targets(batch.caption).ids
        streamed = caption_laws.caption_features(model, past, model.embed_captions(ids_BL, past.last), None)[1]
        torch.testing.assert_close(streamed, features, rtol=0, atol=1e-12)


@every_objective
def test_captions_are_the_same_a_million_frames_later(objective):
    config = captioning_config(objective, layers=3)
    for model in (tiny_model(config), tiny_model(config).float()):
        verdict = caption_laws.captions_do_not_depend_on_the_time(model, captioning_batch(config, frames=7), 1e-4)
        assert verdict.held, verdict


def test_the_law_catches_captions_at_a_fixed_time(monkeypatch):
    from prior import captioning

    config = captioning_config()
    model, batch = tiny_model(config), captioning_batch(config, frames=7)
    at = captioning.cached_caption_rotary
    monkeypatch.setattr(captioning, "cached_caption_rotary", lambda config, frame, *rest: at(config, 3, *rest))
    assert not caption_laws.captions_do_not_depend_on_the_time(model, batch, 1e-4).held
    assert not caption_laws.captions_are_the_training_path(model, batch, 1e-4).held


@every_objective
@pytest.mark.parametrize("kernel", ["dense", "oracle"])
def test_other_kernels_give_the_same_captions(objective, kernel):
    config = captioning_config(objective)
    model, batch = tiny_model(config), captioning_batch(config)
    for one, other in zip(model.all_features(batch, "gathered"), model.all_features(batch, kernel), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@every_objective
def test_a_caption_depends_on_the_visible_frames_and_on_the_tokens_before(objective):
    """By changing codes and ids: one layer, so that only what a caption attends to can change it."""
    config = captioning_config(objective, window=2, layers=1)
    model, batch = tiny_model(config), captioning_batch(config, batch=1, frames=6)
    full = Text(torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.bool))
    batch = batch._replace(caption=full)
    before_1LC = model.all_features(batch)[1]
    for frame in range(6):
        clean = batch.clean.clone()
        clean[:, frame] = (clean[:, frame] + 1) % 3
        changed_L = (model.all_features(batch._replace(clean=clean))[1] != before_1LC).any(-1)[0].tolist()
        assert changed_L == [frame in (4, 5) or (objective == "autoregressive" and frame == 3)] * 3, frame
    for place in range(3):
        ids = full.content.clone()
        ids[:, place] = 1
        after_1LC = model.all_features(batch._replace(caption=Text(ids, full.mask)))[1]
        assert (after_1LC != before_1LC).any(-1)[0].tolist() == [later > place for later in range(3)]


@every_objective
def test_a_caption_depends_on_the_last_token_of_the_video(objective):
    """In decode order no frame has it as an input."""
    config = captioning_config(objective)
    model, batch = tiny_model(config), captioning_batch(config)
    clean = batch.clean.clone()
    clean[:, -1, -1] = (clean[:, -1, -1] + 1) % 3
    before, after = (model.all_features(each) for each in (batch, batch._replace(clean=clean)))
    assert (before[1] != after[1]).any(-1).all()
    assert torch.equal(before[0], after[0])


@every_objective
def test_frames_do_not_depend_on_the_caption(objective):
    config = captioning_config(objective)
    model, batch = tiny_model(config), captioning_batch(config)
    features = model.features(batch._replace(caption=None))
    torch.testing.assert_close(model.features(batch), features, rtol=0, atol=1e-12)
    other = Text(torch.full_like(batch.caption.content, 2), ~batch.caption.mask)
    assert torch.equal(model.features(batch._replace(caption=other)), model.features(batch))


@every_objective
def test_all_captions_together_have_probability_one(objective):
    """Over all captions of a vocabulary of three ids and at most two tokens; those of two tokens end without END."""
    config = captioning_config(objective, context=ContextConfig(length=2, vocabulary=3))
    model, batch = tiny_model(config), captioning_batch(config, batch=1)
    captions = [ids for length in range(3) for ids in itertools.product((1, 2), repeat=length)]
    content, mask = torch.zeros(len(captions), 2, dtype=torch.int64), torch.zeros(len(captions), 2, dtype=torch.bool)
    for row, ids in enumerate(captions):
        content[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64), True
    past = caption_laws.past_of(model, batch)
    nats_R = caption_nats(model, past, Text(content, mask))
    empty = -begin_caption(model, past)[1][0, END].item()  # a blank caption is not counted, so it is read off here
    total = math.exp(-empty) + (-nats_R[1:]).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-5)


def test_one_past_serves_many_captions():
    config = captioning_config()
    model, batch = tiny_model(config), captioning_batch(config, batch=1)
    past = caption_laws.past_of(model, batch)
    state, _ = begin_caption(model, past)
    ids_R = torch.tensor([1, 5, 3])
    _, together = extend_caption(model, past, state.rows(torch.zeros(3, dtype=torch.int64)), ids_R)
    for row in range(3):
        _, alone = extend_caption(model, past, state, ids_R[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)


def test_a_clip_can_be_captioned_and_continued():
    config = captioning_config()
    model, batch = tiny_model(config), captioning_batch(config, frames=6)
    past = laws.commit_frames(model, batch, laws.start_past(model, batch), 0, 4)
    untouched = clone_tensors(past)
    begin_caption(model, past)
    pairs = zip(laws.proposals(model, batch, past, 4), laws.proposals(model, batch, untouched, 4), strict=True)
    assert all(torch.equal(one.features, other.features) for one, other in pairs)


@every_objective
def test_every_weight_has_a_gradient(objective):
    """Distributed training needs that in every step, however few captions count."""
    config = captioning_config(objective, control=None)
    model = LlamaPrior(config)
    batch = captioning_batch(config)
    losses = model(batch)
    (losses.loss.sum() + 0 * losses.caption.loss.sum()).backward()
    missing = {name for name, weights in model.named_parameters() if weights.grad is None}
    assert not missing - ({"embedding.masked"} if objective == "autoregressive" else set())
    assert model.captions.begin.grad.abs().sum() == 0


def test_targets_end_unless_the_caption_fills_the_text():
    mask = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    ids, counted = caption_targets(Text(torch.tensor([[3, 4, 9], [3, 4, 5], [9, 9, 9]]), mask))
    assert ids.tolist() == [[3, 4, END], [3, 4, 5], [END] * 3]
    assert counted.tolist() == [[True] * 3, [True] * 3, [False] * 3]


def test_the_objective_unified_is_masked_with_captions():
    config = tiny_config("unified", context=WORDS)
    assert (config.objective, config.captions) == ("masked", True)
    assert config == captioning_config("masked")


@pytest.mark.parametrize("context", [None, FEATURES], ids=["no text", "features"])
def test_captions_need_ids(context):
    with pytest.raises(ValueError, match="captions = true needs text with a vocabulary"):
        LlamaPrior(replace(tiny_config(context=context), captions=True))


def test_a_prior_without_captions_refuses_them():
    config = tiny_config(context=WORDS)
    with pytest.raises(ValueError, match="writes no captions"):
        tiny_model(config).all_features(captioning_batch(captioning_config()))
