"""The posterior of mask noise: its arithmetic, what it sees, and a prior of one proposal whose tokens agree."""

from dataclasses import replace

import pytest
import torch

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import PriorShape
from prior.model import LlamaPrior, PriorBatch
from prior.posterior import NoiseDistribution, NoisePosterior, noise_directions

SHAPE = PriorShape(width=16, layers=2, heads=2, kv_heads=1, hidden=24, window=2, objective="masked")
SPEC = TokenSpec((5, 3), (TokenGroup("tokens", (2, 2)),), 1)


def batch_of(codes, known=None, noise=None, spec=SPEC):
    known = torch.zeros(codes.shape[:3], dtype=torch.bool) if known is None else known
    return PriorBatch(codes, codes, known, None, torch.zeros(len(codes)), spec, None, noise)


def test_nats_of_noise_are_the_divergence_from_plain_noise():
    torch.manual_seed(0)
    noise = NoiseDistribution(torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5))
    own = torch.distributions.Normal(noise.mean, (0.5 * noise.log_variance).exp())
    expected = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(noise.nats(), expected)
    assert not NoiseDistribution(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 1, 3)).nats().any()


def test_samples_have_the_mean_and_the_variance():
    torch.manual_seed(0)
    mean, log_variance = torch.tensor([3.0, -1.0]), torch.tensor([-2.0, 0.5])
    drawn = NoiseDistribution(mean.expand(100_000, 2), log_variance.expand(100_000, 2)).sample()
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.02)
    torch.testing.assert_close(drawn.var(0).log(), log_variance, rtol=0, atol=0.02)


def test_noise_directions_are_those_that_vary_most():
    """As many as the vectors vary in give the vectors back; fewer leave out the least."""
    torch.manual_seed(0)
    parts, sizes = torch.linalg.qr(torch.randn(7, 3))[0].T, torch.tensor([3.0, 2.0, 0.5])
    vectors = torch.randn(4000, 3) * sizes @ parts + torch.randn(7)
    for count in (2, 3, 5, 9):
        found = noise_directions(vectors, count)
        noise = vectors @ found.noise_RC.T + found.noise_bias_R
        assert noise.shape == (4000, count)
        torch.testing.assert_close(noise.mean(0), torch.zeros(count), rtol=0, atol=1e-3)
        expected = torch.arange(count) < 3
        torch.testing.assert_close(noise.var(0, correction=0), expected.float(), rtol=0, atol=1e-3)
        left = (vectors - vectors.mean(0) - noise @ found.vectors_CR.T).square().sum(1).mean()
        torch.testing.assert_close(left, torch.tensor(0.25 if count == 2 else 0.0), rtol=0.1, atol=1e-4)


def test_it_sees_its_whole_frame_and_the_window_before_it():
    torch.manual_seed(0)
    posterior = NoisePosterior(LlamaPrior(SHAPE.with_tokens(SPEC, None)), 3)
    torch.nn.init.normal_(posterior.outputs.weight)  # at first the mean is a function of the token alone
    codes = torch.stack([torch.randint(size, (1, 5, 4)) for size in SPEC.codebooks], -1)
    mean = posterior(batch_of(codes)).mean
    for frame in range(5):
        for token in range(4):
            other = codes.clone()
            other[:, frame, token, 0] = (other[:, frame, token, 0] + 1) % SPEC.codebooks[0]
            changed = (posterior(batch_of(other)).mean != mean).any(-1)[0]  # [T, N]
            assert changed[frame].all()
            assert not changed[:frame].any()
            assert changed[frame + 1 : frame + 3].all()


def test_what_the_noise_says_reaches_every_token_of_a_proposal():
    torch.manual_seed(0)
    prior = LlamaPrior(replace(SHAPE, mask_noise=3).with_tokens(SPEC, None))
    codes = torch.zeros(1, 1, 4, 2, dtype=torch.int64)
    noise = torch.randn(1, 1, 4, 3, requires_grad=True)
    for token in range(4):
        (gradient,) = torch.autograd.grad(prior(batch_of(codes, noise=noise)).loss[0, 0, token], noise)
        assert (gradient != 0).all()


@pytest.mark.slow
def test_a_prior_of_one_proposal_makes_its_tokens_agree():
    """Frames of nine equal tokens of four kinds: one proposal without noise agrees once in 65,536 frames."""
    torch.manual_seed(0)
    kinds, tokens, batch, count = 4, 9, 64, 2
    spec = TokenSpec((kinds,), (TokenGroup("tokens", (3, 3)),), 1)
    shape = PriorShape(width=48, layers=3, heads=4, kv_heads=1, hidden=96, window=1, objective="masked")
    prior = LlamaPrior(replace(shape, mask_noise=count).with_tokens(spec, None))
    posterior = NoisePosterior(LlamaPrior(shape.with_tokens(spec, None)), count)
    learning = torch.optim.AdamW([*prior.parameters(), *posterior.parameters()])
    for step in range(500):
        learning.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 - step / 250)
        codes = torch.randint(kinds, (batch, 1, 1, 1)).expand(-1, -1, tokens, -1)
        noise = posterior(batch_of(codes, spec=spec))
        loss = prior(batch_of(codes, noise=noise.sample(), spec=spec)).loss
        learning.zero_grad()
        (loss.mean() + min(1.0, step / 250) ** 2 * noise.nats().mean()).backward()
        learning.step()
    nothing = torch.zeros(4096, 1, tokens, 1, dtype=torch.int64)
    features = prior.features(batch_of(nothing, noise=torch.randn(4096, 1, tokens, count), spec=spec))
    logits = prior.head(features, nothing[..., :0])
    drawn_BN = torch.distributions.Categorical(logits=logits / 0.5).sample()[:, 0]
    agreed_B = (drawn_BN == drawn_BN[:, :1]).all(-1)
    assert agreed_B.float().mean() > 0.5
    assert (drawn_BN[agreed_B][:, 0].bincount(minlength=kinds) > 300).all()
