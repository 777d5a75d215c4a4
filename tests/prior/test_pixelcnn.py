"""PixelCNN: the laws of every prior, and what a token may see, from gradients."""

import itertools
from dataclasses import replace

import pytest
import torch

from interfaces.tokens import TokenGroup, TokenSpec
from prior import laws
from prior.config import ControlConfig
from prior.head_config import DepthConfig, FlowConfig
from prior.kinds import make_prior
from prior.laws import commit_frames, proposals, start_past
from sampling.config import SamplerConfig
from sampling.rollout import sample_frames, start_rollout
from tests.prior.models import (
    FEATURES,
    GROUPS_OF_TWO,
    WORDS,
    every_frame,
    every_law,
    grid_spec,
    random_weights,
    tiny_batch,
    tiny_pixelcnn,
)

CONFIGS = {
    "no text": tiny_pixelcnn(),
    "words": tiny_pixelcnn(window=1, context=WORDS),
    "features, wide": tiny_pixelcnn((3, 2, 2), window=3, context=FEATURES, shape=(4, 3), layers=3),
    "a line": tiny_pixelcnn(shape=(7,)),
    "control": tiny_pixelcnn(control=ControlConfig(floats=2), context=WORDS),
    "depth": tiny_pixelcnn((3, 2, 2), head=DepthConfig(layers=1, width=8, heads=2)),
    "continuous": tiny_pixelcnn(
        spec=TokenSpec((), (TokenGroup("tokens", (2, 3)),), 4, channels=3), head=FlowConfig(layers=1, steps=3)
    ),
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@each
def test_the_laws_hold(config):
    model, batch = random_weights(make_prior(config)).eval(), tiny_batch(config, frames=6, noise=0.3)
    for verdict in every_law(model, batch):
        assert verdict.held, verdict


@each
def test_every_weight_takes_part_in_the_loss(config):
    """Processes average the gradients of all weights."""
    model = random_weights(make_prior(config))
    model(tiny_batch(config)).loss.sum().backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None]


@each
def test_next_token_equals_training(config):
    model, batch = random_weights(make_prior(config)).eval(), tiny_batch(config, frames=4)
    with torch.no_grad():
        features = model.features(batch)
    past = start_past(model, batch)
    for t in range(4):
        control = None if batch.control is None else batch.control[:, t]
        for n in range(config.spec.tokens):
            proposal = model.next_token(batch.clean[:, t, :n], past, control)
            torch.testing.assert_close(proposal.features[:, 0], features[:, t, n], rtol=0, atol=1e-9)
        past = commit_frames(model, batch, past, t, t + 1)


@pytest.mark.parametrize(("shape", "layers"), [((4, 5), 6), ((1, 6), 6), ((7,), 7)])
def test_a_token_sees_all_tokens_before_it_and_the_window_and_nothing_else(shape, layers):
    """With enough layers for the grid there is no blind spot."""
    config = tiny_pixelcnn(shape=shape, layers=layers, window=2, context=WORDS)
    model, batch = random_weights(make_prior(config)), tiny_batch(config, batch=1, frames=5)
    embedded, tokens = [], config.spec.tokens
    make = model.embedding.tokens

    def watched(codes, known=None):
        embedded.append(make(codes, known).detach().requires_grad_())
        return embedded[-1]

    model.embedding.tokens = watched
    features = model.features(batch)[0]
    (source,) = embedded
    height, width = (1, *shape)[-2:]
    for t, n in itertools.product(range(5), (0, 1, tokens // 2, tokens - 1)):
        (gradient,) = torch.autograd.grad(features[t, n].square().sum(), source, retain_graph=True)
        seen = gradient[0].abs().amax(-1) > 0
        own = torch.arange(tokens) < n
        assert torch.equal(seen[t], own), (t, n)
        assert not seen[t + 1 :].any()
        assert not seen[: max(0, t - 2)].any()
        row, column = divmod(n, width)
        near = torch.zeros(height, width, dtype=torch.bool)
        near[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        assert (seen[max(0, t - 2) : t] | ~near.flatten()).all()  # at least what is near it in each frame of the window


def test_every_frame_reads_the_text_and_its_control():
    config = tiny_pixelcnn(context=WORDS, control=ControlConfig(discrete=3))
    model, batch = random_weights(make_prior(config)), tiny_batch(config, frames=3)
    before = model.features(batch)
    words = batch._replace(text=batch.text._replace(content=(batch.text.content + 1) % 7, mask=~batch.text.mask))
    assert (model.features(words) - before).abs().amax((-1, -2)).min() > 1e-6
    control = batch.control.clone()
    control[:, 1] = (control[:, 1] + 1) % 3
    change = (model.features(batch._replace(control=control)) - before).abs().amax((0, 2, 3))
    assert change[0] == 0
    assert change[1] > 1e-6
    assert change[2] > 1e-6  # later frames read the control of a frame with it


def test_the_likelihoods_of_all_latent_frames_sum_to_one():
    """By brute force: four tokens of 2 x 2 codes, 256 latent frames."""
    config = tiny_pixelcnn((2, 2), shape=(2, 2), context=WORDS)
    with torch.no_grad():
        nats = random_weights(make_prior(config))(every_frame(config)).nats[:, 1].sum(-1)
    assert len(nats) == 256
    torch.testing.assert_close(nats.neg().exp().sum(), torch.ones(()), rtol=1e-5, atol=0)


@pytest.mark.parametrize("order", ["autoregressive", "raster"])
def test_alone_is_in_a_batch_and_both_orders_draw_the_same(order):
    config = tiny_pixelcnn(context=WORDS)
    model, text = random_weights(make_prior(config)), tiny_batch(config, batch=3).text

    def drawn(rows, seeds, **changes):
        rollout = start_rollout(model, model.begin(text.rows(rows), len(seeds)), seeds)
        sampler = SamplerConfig(**{"order": order, **changes})
        return torch.stack([each.codes_BNK for each in sample_frames(model, rollout, sampler, 4)], 1)

    everyone, seeds = slice(None), [5, 6, 7]
    together = drawn(everyone, seeds)
    for row in range(3):
        assert torch.equal(drawn(slice(row, row + 1), [5 + row]), together[row : row + 1])
    cold = [drawn(everyone, seeds, order=each, temperature=0) for each in ("autoregressive", "raster")]
    assert torch.equal(*cold)


def test_several_groups_are_refused():
    with pytest.raises(ValueError, match="pixelcnn needs one group"):
        tiny_pixelcnn(spec=GROUPS_OF_TWO)


def test_settings_are_checked():
    for name in ("width", "layers", "window"):
        with pytest.raises(ValueError, match=f"{name} = 0"):
            replace(tiny_pixelcnn(), **{name: 0})


def test_another_frame_size_streams_as_it_trains():
    config = tiny_pixelcnn(context=WORDS)
    model, spec = random_weights(make_prior(config)), grid_spec((4, 3), (3, 5))
    batch = laws.random_batch(config, 2, 3, spec, torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.features(batch)
    for t, proposal in enumerate(proposals(model, batch)):
        torch.testing.assert_close(proposal.features, features[:, t], rtol=0, atol=1e-9)
