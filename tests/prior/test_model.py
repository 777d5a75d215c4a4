import math

import pytest
import torch

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import ControlConfig
from prior.heads.base import TokenProposal
from prior.laws import all_known, commit_frames, proposals, propose_nothing_known, start_past
from tests.prior.models import FEATURES, WORDS, every_law, grid_spec, tiny_batch, tiny_config, tiny_model


@pytest.mark.parametrize("codebooks", [(11,), (3, 2, 2)], ids=str)
@pytest.mark.parametrize("context", [None, WORDS], ids=["no context", "words"])
def test_next_token_equals_training(context, codebooks):
    config = tiny_config("autoregressive", codebooks, context=context)
    model, batch = tiny_model(config), tiny_batch(config, frames=6)
    with torch.no_grad():
        features = model.features(batch)
    past = start_past(model, batch)
    for t in range(6):
        for n in range(6):
            proposal = model.next_token(batch.clean[:, t, :n], past)
            torch.testing.assert_close(proposal.features[:, 0], features[:, t, n], rtol=0, atol=1e-12)
            readings = (
                model.head.readings(each, batch.targets[:, t, n])
                for each in (proposal.features[:, 0], features[:, t, n])
            )
            for one, other in zip(*readings, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
        past = commit_frames(model, batch, past, t, t + 1)


def test_a_proposal_in_decode_order_does_not_depend_on_later_tokens():
    config = tiny_config("autoregressive")
    model, batch = tiny_model(config), tiny_batch(config)
    past = commit_frames(model, batch, start_past(model, batch), 0, 3)
    codes, known = batch.clean[:, 3], all_known(batch)
    features = model.propose(codes, known, past)[0].features
    for n in range(6):
        fewer = known.clone()
        fewer[:, n:] = False
        again = model.propose(codes, fewer, past)[0].features
        torch.testing.assert_close(again[:, : n + 1], features[:, : n + 1], rtol=0, atol=0)
        assert n == 5 or (again[:, n + 1 :] - features[:, n + 1 :]).abs().amax(-1).min() > 1e-6


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_the_history_is_the_corrupted_copy_and_the_targets_are_true(objective):
    config = tiny_config(objective, context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config, noise=0.5)
    assert (batch.clean != batch.targets).any()
    losses = model(batch)
    features = model.features(batch)
    torch.testing.assert_close(losses.nats, model.head.losses(features, batch.targets).nats)
    other = batch._replace(clean=batch.targets)
    assert (model.features(other) - features).abs().max() > 1e-3


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_activation_checkpointing_changes_no_bit_of_the_gradients(objective):
    config = tiny_config(objective, context=FEATURES, layers=3)
    model, batch = tiny_model(config), tiny_batch(config, noise=0.5)
    gradients = []
    for recompute in (False, True):
        model.zero_grad()
        losses = model(batch, smoothing=0.1, recompute=recompute)
        losses.loss.mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_every_weight_gets_a_gradient(objective):
    config = tiny_config(objective, context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config, batch=8, noise=0.5)
    model(batch).loss.mean().backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert idle == ({"embedding.start"} if objective == "masked" else {"embedding.masked"})


def test_both_objectives_load_each_others_weights():
    states = [tiny_model(tiny_config(objective)).state_dict() for objective in ("masked", "autoregressive")]
    assert {name: each.shape for name, each in states[0].items()} == {n: each.shape for n, each in states[1].items()}


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("context", [WORDS, FEATURES], ids=["words", "features"])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_it_trains_and_streams_under_autocast(objective, context, qk_norm):
    config = tiny_config(objective, (512, 125), context=context, qk_norm=qk_norm)
    model, batch = tiny_model(config).float(), tiny_batch(config)
    with torch.no_grad():
        exact = model.features(batch)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch)
        losses.loss.mean().backward()
        features = model.features(batch)
        streamed = torch.stack([proposal.features for proposal in proposals(model, batch)], 1)
        proposal = next(proposals(model, batch))
    logits = model.head(proposal.features, torch.zeros(2, 6, 0).long())
    assert losses.loss.dtype == losses.nats.dtype == logits.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    for rounded in (features, streamed):
        assert (rounded.float() - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("context", [None, WORDS, FEATURES], ids=["no context", "words", "features"])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_it_runs_with_weights_in_bfloat16(objective, context):
    config = tiny_config(objective, context=context)
    model, batch = tiny_model(config).bfloat16(), tiny_batch(config)
    features = model.features(batch)
    assert features.dtype == torch.bfloat16
    for t, proposal in enumerate(proposals(model, batch)):
        assert (proposal.features - features[:, t]).abs().max() < 0.1 * features.abs().max()
        assert model.head(proposal.features, torch.zeros(2, 6, 0).long()).dtype == torch.float32


def test_a_proposal_has_the_shape_of_a_latent_frame():
    config = tiny_config(codebooks=(4, 3))
    model, batch = tiny_model(config), tiny_batch(config)
    past = start_past(model, batch)
    proposal = propose_nothing_known(model, batch, past, 0)
    assert isinstance(proposal, TokenProposal)
    assert [each.shape for each in model.head.readings(proposal.features, batch.targets[:, 0])] == [
        (2, 6, 4),
        (2, 6, 3),
    ]
    assert not proposal.features.requires_grad
    _, present = model.propose(batch.clean[:, 0], all_known(batch), past)
    past, _ = model.advance(batch.clean[:, 0], past)
    assert int(past.frames) == 1
    assert torch.equal(past.last, batch.clean[:, 0, -1])
    assert present.keys[0].shape == (2, config.kv_heads, 6, 12)


def test_one_token_and_one_frame_are_enough():
    config = tiny_config("masked", window=1, shape=(1, 1))
    batch = tiny_batch(config, batch=1, frames=1)
    model = tiny_model(config)
    assert model(batch).nats.shape == (1, 1, 1)
    assert next(proposals(model, batch)).features.shape == (1, 1, 48)


GROUPS = (TokenGroup("coarse", (2, 2)), TokenGroup("fine", (4, 4)))
LINE = (TokenGroup("latents", (7,)),)


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
@pytest.mark.parametrize(
    ("spec", "control"),
    [
        (TokenSpec((5, 3), GROUPS, 4), None),
        (TokenSpec((1024,) * 8, LINE, 4), None),
        (grid_spec((4, 3)), ControlConfig(discrete=5)),
        (TokenSpec((4,), GROUPS, 2), ControlConfig(floats=3)),
    ],
    ids=["coarse and fine", "a line of 80 bits", "actions", "numbers"],
)
def test_the_laws_hold_for_groups_lines_and_controls(objective, spec, control):
    config = tiny_config(objective, spec=spec, control=control, context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config, frames=6, noise=0.3)
    for verdict in every_law(model, batch):
        assert verdict.held, verdict


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
@pytest.mark.parametrize("control", [ControlConfig(discrete=5), ControlConfig(floats=3)], ids=str)
def test_a_control_affects_its_frame_and_later_ones(objective, control):
    config = tiny_config(objective, control=control)
    model, batch = tiny_model(config), tiny_batch(config)
    assert batch.control is not None
    features = model.features(batch)
    other = batch.control.clone()
    other[:, 2] = other[:, 3]
    moved = (model.features(batch._replace(control=other)) - features).abs().amax((0, 2, 3))
    assert not moved[:2].any()
    assert (moved[2:] > 1e-4).all()
    absent = torch.full_like(batch.control, -1 if control.discrete else math.nan)
    assert torch.equal(model.features(batch._replace(control=None)), model.features(batch._replace(control=absent)))
    with pytest.raises(ValueError, match="control"):
        tiny_model(tiny_config(objective)).features(batch)
    with pytest.raises(ValueError, match="control"):
        model.features(batch._replace(control=batch.control[:, 1:]))


def test_another_kind_of_tokens_is_refused():
    model = tiny_model(tiny_config())
    model.begin(None, 1, grid_spec((4, 3), (5, 5)))
    for spec in (grid_spec((4, 4)), grid_spec((4, 3), (6,)), TokenSpec((4, 3), GROUPS, 4)):
        with pytest.raises(ValueError, match="begin"):
            model.begin(None, 1, spec)
