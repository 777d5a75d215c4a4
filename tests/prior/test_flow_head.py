"""The head for continuous tokens."""

import pytest
import torch

from interfaces.prior import DrawSettings
from interfaces.tokens import TokenGroup, TokenSpec
from prior import laws
from prior.head_config import FlowConfig
from prior.heads.flow import FlowHead
from tests.prior.models import WORDS, FixedNumbers, grid_spec, tiny_batch, tiny_config, tiny_model

SPEC = TokenSpec((), (TokenGroup("tokens", (2, 3)),), 4, channels=2)
WIDTH = 8


def trained_head(tokens_of, steps=700, batch=256):
    """A head that has learned to draw the tokens of two kinds of features."""
    torch.manual_seed(0)
    head = FlowHead(FlowConfig(layers=2, width=48, steps=24, repeats=2), SPEC, WIDTH)
    features = torch.randn(2, WIDTH)
    head.prepare(torch.cat([tokens_of(kind, torch.randn(500, 2)) for kind in range(2)]))
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(steps):
        kind = torch.randint(2, (batch,))
        tokens = torch.where((kind == 0)[:, None], *(tokens_of(each, torch.randn(batch, 2)) for each in range(2)))
        loss = head.losses(features[kind], tokens).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head.eval(), features


@pytest.mark.slow
def test_it_learns_distributions_far_from_normal_and_of_any_scale():
    """Two points on a line for one kind of features, a wide normal for the other."""

    def tokens_of(kind, noise):
        points = torch.stack([30 * noise[:, 0].sign() + noise[:, 1], torch.full_like(noise[:, 0], 5.0)], -1)
        return points if kind == 0 else torch.tensor([100.0, -5.0]) + noise * torch.tensor([10.0, 2.0])

    head, features = trained_head(tokens_of)
    noise = FixedNumbers(torch.randn(1, 4000, 2, dtype=torch.float64))
    with torch.no_grad():
        two, _ = head.sample(features[0].expand(1, 4000, -1), DrawSettings(), noise)
        wide, _ = head.sample(features[1].expand(1, 4000, -1), DrawSettings(), noise)
    apart = two[0, :, 0].abs() - 30
    assert (apart.abs() < 8).float().mean() > 0.9
    assert 0.4 < (two[0, :, 0] > 0).float().mean() < 0.6
    torch.testing.assert_close(wide[0].mean(0), torch.tensor([100.0, -5.0]), rtol=0.05, atol=0.3)
    torch.testing.assert_close(wide[0].std(0), torch.tensor([10.0, 2.0]), rtol=0.25, atol=0)


def random_head(**settings):
    torch.manual_seed(0)
    head = FlowHead(FlowConfig(**{"layers": 2, "steps": 5, **settings}), SPEC, WIDTH).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    head.mean.fill_(3.0)
    head.scale.fill_(2.0)
    return head


def end_of_path(noise, velocity):
    """Five Euler steps."""
    x = noise.clone()
    for step in range(5):
        x = x + velocity(x, torch.full(x.shape[:2], step / 5, dtype=torch.float64)) / 5
    return x


def test_sampling_follows_the_velocity():
    head, features = random_head(), torch.randn(1, 6, WIDTH).double()
    noise = torch.randn(1, 6, 2, dtype=torch.float64)
    x = end_of_path(noise, lambda x, time: head(head.enter(features), x, time))
    tokens, confidence = head.sample(features, DrawSettings(), FixedNumbers(noise))
    torch.testing.assert_close(tokens, 3.0 + 2.0 * x)
    assert not confidence.any()


def test_cold_noise_gives_the_guess_and_noise_matters():
    head, features = random_head(), torch.randn(1, 6, WIDTH).double()
    one, two = (FixedNumbers(torch.randn(1, 6, 2, dtype=torch.float64)) for _ in range(2))
    cold = DrawSettings(temperature=0)
    assert torch.equal(head.sample(features, cold, one)[0], head.guesses(features))
    assert torch.equal(head.sample(features, cold, two)[0], head.guesses(features))
    warm = [head.sample(features, DrawSettings(), noise)[0] for noise in (one, two)]
    assert (warm[0] - warm[1]).abs().min() > 0


def test_guidance_is_on_the_velocity():
    head, pair = random_head(), torch.randn(2, 6, WIDTH).double()
    noise = torch.randn(1, 6, 2, dtype=torch.float64)

    def guided(x, time):
        with_text, without = (head(head.enter(row[None]), x, time) for row in pair)
        return without + 3.0 * (with_text - without)

    x = end_of_path(noise, guided)
    tokens, _ = head.sample(pair, DrawSettings(guidance=3.0), FixedNumbers(noise))
    torch.testing.assert_close(tokens, 3.0 + 2.0 * x)
    each = DrawSettings(guidance=torch.tensor([3.0]))
    torch.testing.assert_close(head.sample(pair, each, FixedNumbers(noise))[0], tokens)


def test_the_loss_does_not_depend_on_the_scale_of_tokens():
    head, tokens = random_head().eval(), torch.randn(50, 6, 2).double()
    features = torch.randn(50, 6, WIDTH).double()
    head.prepare(tokens)
    small = head.losses(features, tokens).loss
    head.prepare(1000 * tokens - 7)
    torch.testing.assert_close(head.losses(features, 1000 * tokens - 7).loss, small)


def test_evaluation_gives_the_same_figure_each_time_and_training_does_not():
    head, tokens, features = random_head(), torch.randn(3, 6, 2).double(), torch.randn(3, 6, WIDTH).double()
    assert not torch.equal(head.losses(features, tokens).loss, head.losses(features, tokens).loss)
    head.eval()
    assert torch.equal(head.losses(features, tokens).loss, head.losses(features, tokens).loss)


def test_broken_velocities_are_reported():
    head, features = random_head(), torch.full((1, 6, WIDTH), torch.nan).double()
    broken = torch.zeros((), dtype=torch.bool)
    noise = FixedNumbers(torch.zeros(1, 6, 2, dtype=torch.float64))
    tokens, _ = head.sample(features, DrawSettings(broken=broken), noise)
    assert broken
    assert tokens.isfinite().all()


def test_the_laws_hold_for_continuous_tokens():
    config = tiny_config(spec=SPEC, context=WORDS, head=FlowConfig(layers=1, steps=3))
    model, batch = tiny_model(config), tiny_batch(config, noise=0.5)
    for verdict in (
        laws.streaming_is_the_training_path(model, batch, 1e-6),
        laws.a_row_of_a_batch_is_the_row_alone(model, batch, 1e-6),
        laws.proposing_twice_is_proposing_once(model, batch),
        laws.advancing_is_committing_and_proposing(model, batch, 1e-6),
    ):
        assert verdict.held, verdict


def test_codes_are_refused():
    with pytest.raises(ValueError, match="flow needs continuous tokens"):
        FlowHead(FlowConfig(), grid_spec((4, 3)), WIDTH)


def test_a_narrow_dtype_does_not_round_the_scale_of_the_tokens():
    head = FlowHead(FlowConfig(layers=1, steps=2), SPEC, WIDTH)
    head.prepare(torch.randn(100, 2) * 3.14159 + 2.71828)
    mean = head.mean.clone()
    narrow = head.to(torch.bfloat16)
    assert torch.equal(narrow.mean, mean)
    assert narrow.read.weight.dtype == torch.bfloat16
    features, noise = torch.randn(1, 6, WIDTH, dtype=torch.bfloat16), torch.randn(1, 6, 2, dtype=torch.float64)
    tokens, _ = narrow.sample(features, DrawSettings(), FixedNumbers(noise))
    assert tokens.dtype == torch.float32
    assert head.double().mean.dtype == torch.float64
