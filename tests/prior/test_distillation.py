"""The arithmetic of distillation: gradients by autograd, and a student that makes its tokens agree."""

from dataclasses import replace

import pytest
import torch

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import PriorShape
from prior.distillation import (
    divergence,
    matching_gradient,
    revealed_by_step,
    share_of_steps_done,
    surrogate_loss,
)
from prior.model import LlamaPrior, PriorBatch
from sampling.config import SamplerConfig
from sampling.halton import halton_ranks
from sampling.rollout import sample_frames, start_rollout
from sampling.schedule import masked_after
from tests.sampling.fake import fake_prior


@pytest.mark.parametrize("reverse", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_the_divergences(reverse):
    """With the critic in the student's place: of KL(teacher | student) and of KL(student | teacher)."""
    torch.manual_seed(0)
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    student, teacher = logits.log_softmax(-1), torch.randn(5, 7, dtype=torch.float64).log_softmax(-1)
    expected = (1 - reverse) * divergence(teacher, student) + reverse * divergence(student, teacher)
    (gradient,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(matching_gradient(student.detach(), teacher, reverse), gradient)
    assert not matching_gradient(teacher, teacher, reverse).any()


def test_the_surrogate_has_this_gradient():
    logits, gradient = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    (found,) = torch.autograd.grad(surrogate_loss(logits, gradient).sum(), logits)
    assert torch.equal(found, gradient)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps_reveal_what_the_sampler_reveals(steps):
    shape = (4, 4)
    revealed = revealed_by_step(halton_ranks(*shape, torch.device("cpu")).flatten(), masked_after("cosine", 16, steps))
    assert torch.equal(torch.stack(revealed).sum(0), torch.ones(16, dtype=torch.int64))
    prior = fake_prior(shape=shape)
    rollout = start_rollout(prior, prior.begin(None, 1), [3])
    list(sample_frames(prior, rollout, SamplerConfig(steps=steps), 1))
    known = [(ids != prior.unknown).flatten() for ids in prior.inputs[:steps]]
    for step in range(1, steps):
        assert torch.equal(known[step] & ~known[step - 1], revealed[step - 1])


def test_the_share_of_steps_is_the_inverse_of_the_cosine_schedule():
    done = torch.linspace(0, 1, 11)
    torch.testing.assert_close(share_of_steps_done(torch.cos(torch.pi / 2 * done)), done, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_a_student_of_one_proposal_makes_its_tokens_agree():
    """Frames of nine equal tokens of four kinds: one proposal without distillation agrees once in 65,536 frames."""
    torch.manual_seed(0)
    kinds, tokens, batch = 4, 9, 64
    spec = TokenSpec((kinds,), (TokenGroup("tokens", (3, 3)),), 1)
    shape = PriorShape(width=48, layers=3, heads=4, kv_heads=1, hidden=96, window=1, objective="masked")
    teacher = LlamaPrior(shape.with_tokens(spec, None))

    def inputs(codes, known, noise=None):
        return PriorBatch(codes, codes, known, None, torch.zeros(len(codes)), spec, None, noise)

    def random_masks():
        return torch.rand(batch, 1, tokens).argsort(-1).argsort(-1) >= torch.randint(1, tokens + 1, (batch, 1, 1))

    def cost(network, codes, known):
        return (network(inputs(codes, known)).loss * ~known).sum() / (~known).sum()

    def step(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    learning = torch.optim.AdamW(teacher.parameters(), 3e-3)
    for _ in range(400):
        step(learning, cost(teacher, torch.randint(kinds, (batch, 1, 1, 1)).expand(-1, -1, tokens, -1), random_masks()))
    student, critic = LlamaPrior(replace(shape, mask_noise=2).with_tokens(spec, None)), LlamaPrior(teacher.config)
    student.load_state_dict({**student.state_dict(), **teacher.state_dict()})
    critic.load_state_dict(teacher.state_dict())
    student.embedding.mask_noise.weight.data.mul_(20)
    optimizers = [
        torch.optim.AdamW(network.parameters(), rate, betas=(0.0, 0.99))
        for network, rate in ((student, 3e-4), (critic, 1e-3))
    ]
    nothing = torch.zeros(batch, 1, tokens, dtype=torch.bool)
    agreed = []
    for _ in range(500):
        noise = torch.randn(batch, 1, tokens, 2)
        features = student.features(inputs(torch.zeros(batch, 1, tokens, 1, dtype=torch.int64), nothing, noise))
        logits = student.head(features, torch.zeros(batch, 1, tokens, 0, dtype=torch.int64))
        codes = torch.distributions.Categorical(logits=logits.detach()).sample().unsqueeze(-1)
        agreed.append((codes == codes[:, :, :1]).all(-1).all(-1).float().mean().item())
        for _ in range(2):
            step(optimizers[1], cost(critic, codes, random_masks()))
        known = random_masks()
        with torch.no_grad():
            pair = [
                network.head.readings(network.features(inputs(codes, known)), codes)[0].log_softmax(-1)
                for network in (critic, teacher)
            ]
        loss = (surrogate_loss(logits, matching_gradient(*pair, 0.0)) * ~known).sum() / (~known).sum()
        step(optimizers[0], loss)
    assert max(agreed[:5]) < 0.05
    assert sum(agreed[-50:]) / 50 > 0.4
