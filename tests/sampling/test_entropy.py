"""The order entropy: its choice by brute force, its early end, and the entropies that proposals tell."""

import itertools
import math

import pytest
import torch

from interfaces.prior import DrawSettings
from sampling.config import SamplerConfig
from sampling.orders import RevealState, to_reveal
from sampling.rng import StepRNG, counter_rng
from tests.sampling.fake import FakeProposal, fake_prior, plain_prior, run_maskgit


def largest_set(entropies: list[float], unknown: list[int], bound: float) -> set[int]:
    """Of all sets of unknown tokens whose entropies without the largest sum to at most the bound, the one with most
    tokens; of these, the one with the lowest entropies, ties in decode order."""
    sets = (
        chosen
        for size in range(1, len(unknown) + 1)
        for chosen in itertools.combinations(unknown, size)
        if math.fsum(sorted(entropies[token] for token in chosen)[:-1]) <= bound
    )
    return set(min(sets, key=lambda chosen: (-len(chosen), sorted((entropies[token], token) for token in chosen))))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("bound", [1e-9, 0.3, 1.0, 2.5, 100.0])
def test_a_step_reveals_the_largest_set_within_the_bound(seed, bound):
    """Also with ties, with entropies of 0, and beside known tokens of low entropy."""
    generator = torch.Generator().manual_seed(seed)
    entropies_BN = torch.randint(0, 6, (3, 8), generator=generator).float() / 4
    unknown_BN = torch.rand(3, 8, generator=generator) < 0.8
    unknown_BN[:, 3] = True
    sampler, masked_B = SamplerConfig(order="entropy", entropy_bound=bound), unknown_BN.sum(1)
    state = RevealState(entropies_BN, (2, 4), 0, (8, 8, 8), 0, sampler, counter_rng([1, 2, 3], 0))
    revealed_BN = to_reveal(state, unknown_BN, masked_B)
    for entropies, unknown, revealed in zip(entropies_BN, unknown_BN, revealed_BN, strict=True):
        wanted = largest_set(entropies.tolist(), unknown.nonzero().flatten().tolist(), bound)
        assert set(revealed.nonzero().flatten().tolist()) == wanted


def test_a_step_reveals_at_least_as_many_tokens_as_the_schedule():
    entropies_BN, unknown_BN = torch.tensor([[3.0, 1.0, 2.0, 4.0]]), torch.ones(1, 4, dtype=torch.bool)
    sampler = SamplerConfig(order="entropy", entropy_bound=1e-9)
    state = RevealState(entropies_BN, (4,), 0, (2,), 0, sampler, counter_rng([1], 0))
    assert to_reveal(state, unknown_BN, torch.tensor([1])).tolist() == [[True, True, True, False]]


def test_easy_frames_end_early_and_no_frame_takes_more_than_its_steps():
    for p, steps in ((1 - 1e-9, 1), (0.5, 5)):  # entropies of about 0, and of log 2
        prior = plain_prior([p, 1 - p])
        sampler = SamplerConfig(order="entropy", entropy_bound=0.5, steps=5)
        sampled = run_maskgit(prior, prior.begin(None, 3), torch.full((3, 4, 4), 2), sampler, counter_rng([1, 2, 3], 0))
        assert sampled.steps_B.tolist() == [steps] * 3
        assert prior.passes == steps


def test_a_bound_of_many_entropies_reveals_so_many_tokens_at_once():
    """16 tokens of log 2 nats: with a bound of 7 log 2, a step reveals 8 of them."""
    prior = plain_prior([0.5, 0.5])
    sampler = SamplerConfig(order="entropy", entropy_bound=7.001 * math.log(2), steps=16)
    sampled = run_maskgit(prior, prior.begin(None, 1), torch.full((1, 4, 4), 2), sampler, counter_rng([1], 0))
    assert sampled.steps_B.tolist() == [2]


def test_samples_of_a_batch_finish_independently():
    prior = plain_prior([0.5, 0.5], [1 - 1e-9, 1e-9])
    past = prior.begin(torch.tensor([True, False]), 2)
    sampler = SamplerConfig(order="entropy", entropy_bound=0.5)
    together = run_maskgit(prior, past, torch.full((2, 4, 4), 2), sampler, counter_rng([5, 6], 0))
    assert together.steps_B.tolist() == [1, 8]
    for row, seed in enumerate((5, 6)):
        alone = prior.begin(torch.tensor([row == 0]), 1)
        sampled = run_maskgit(prior, alone, torch.full((1, 4, 4), 2), sampler, counter_rng([seed], 0))
        assert torch.equal(sampled.ids[0], together.ids[row])
        assert sampled.steps_B[0] == together.steps_B[row]


def entropies(log_p: torch.Tensor, codebooks: tuple[int, ...], draws: int = 1, **settings) -> torch.Tensor:
    """Of a token with this table, as a proposal tells it, for each of `draws` draws."""
    proposal = FakeProposal(log_p.expand(1, draws, -1), codebooks)
    draw = StepRNG(counter_rng([3], 0), 0, (draws,), torch.arange(draws)[None])
    return proposal.sample(DrawSettings(score="entropy", **settings), draw)[1][0]


@pytest.mark.parametrize(
    ("settings", "p"),
    [
        ({}, [0.5, 0.3, 0.2]),
        ({"temperature": 0.5}, [25 / 38, 9 / 38, 4 / 38]),
        ({"top_k": 2}, [5 / 8, 3 / 8]),
        ({"top_p": 0.4}, [1.0]),
        ({"temperature": 0}, [1.0]),
    ],
)
def test_the_entropy_is_that_of_what_is_drawn_from(settings, p):
    [found] = entropies(torch.tensor([0.5, 0.3, 0.2]).log(), (3,), **settings).tolist()
    assert found == pytest.approx(-sum(each * math.log(each) for each in p), abs=1e-6)


def test_the_entropy_is_that_after_guidance():
    with_text, without = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    proposal = FakeProposal(torch.stack([with_text, without]).log()[:, None], (3,))
    draw = StepRNG(counter_rng([3], 0), 0, (1,), torch.zeros(1, 1, dtype=torch.int64))
    _, found = proposal.sample(DrawSettings(score="entropy", guidance=3.0), draw)
    weights = [u * (t / u) ** 3 for t, u in zip(with_text.tolist(), without.tolist(), strict=True)]
    p = [weight / sum(weights) for weight in weights]
    assert found.item() == pytest.approx(-sum(each * math.log(each) for each in p), abs=1e-5)


def test_the_mean_entropy_over_draws_is_the_entropy_of_the_token():
    log_p = fake_prior((3, 2, 2)).log_p[0, 1, 2]
    draws = 20_000
    found = entropies(log_p, (3, 2, 2), draws).double()
    truth = float(-(log_p.exp() * log_p).sum())
    assert found.std() > 0.01  # it depends on the codes that were drawn
    assert abs(float(found.mean()) - truth) < 4 * float(found.std()) / math.sqrt(draws)
