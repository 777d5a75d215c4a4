"""Each sampling option, tested by the frequencies of the drawn codes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interfaces.prior import DrawSettings
from prior.heads.token_sampling import apply_guidance, apply_temperature, draw, finite, pick, top_k, top_p
from tests.sampling.fake import FakeProposal, fake_prior, pack

P = torch.tensor([0.5, 0.25, 0.125, 0.125])
DRAWS = 20_000


def uniform(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class GivenNumbers:
    """A TokenRNG that returns these numbers [B, M, K]."""

    def __init__(self, numbers: torch.Tensor):
        self.numbers = numbers

    def uniforms(self, count: int) -> torch.Tensor:
        assert self.numbers.shape[-1] == count
        return self.numbers


def frequencies(settings: DrawSettings, p: torch.Tensor = P, draws: int = DRAWS) -> torch.Tensor:
    uniforms = uniform(7, draws)
    ids = pick(p.log().expand(draws, -1), settings, uniforms)
    return torch.bincount(ids, minlength=len(p)) / draws


def close(seen: torch.Tensor, p: torch.Tensor, draws: int = DRAWS) -> bool:
    """The frequencies are within 4 standard deviations; entries with probability 0 are never drawn."""
    return bool(((seen - p).abs() <= 4 * (p * (1 - p) / draws).sqrt()).all())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature):
    powered = P ** (1 / temperature)
    assert close(frequencies(DrawSettings(temperature=temperature)), powered / powered.sum())


def test_temperatures_can_be_told_apart():
    """The bounds of the test above are narrow enough to distinguish temperatures."""
    seen = frequencies(DrawSettings(temperature=0.5))
    assert not close(seen, P)
    assert not close(frequencies(DrawSettings(temperature=2.0)), P)


@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_temperature_0_is_argmax(temperature):
    assert frequencies(DrawSettings(temperature=temperature)).tolist() == [1, 0, 0, 0]


def test_extreme_temperatures_give_finite_logits():
    logits = torch.tensor([[1e30, -1e30, 0.0, 5.0]])
    assert apply_temperature(logits, 1e-6).softmax(-1).tolist() == [[1, 0, 0, 0]]
    assert torch.allclose(apply_temperature(torch.tensor([[3.0, -4.0]]), 1e9).softmax(-1), torch.tensor([[0.5, 0.5]]))


@pytest.mark.parametrize(
    ("k", "p"), [(1, [1, 0, 0, 0]), (2, [2 / 3, 1 / 3, 0, 0]), (4, P.tolist()), (10**9, P.tolist())]
)
def test_top_k_keeps_k_with_their_odds(k, p):
    assert close(frequencies(DrawSettings(top_k=k)), torch.tensor(p))


def test_ties_of_the_kth_stay():
    assert top_k(P.log(), 3).isfinite().sum() == 4


@pytest.mark.parametrize(
    ("top", "p"),
    [
        (1e-9, [1, 0, 0, 0]),
        (0.49, [1, 0, 0, 0]),
        (0.51, [2 / 3, 1 / 3, 0, 0]),
        (0.74, [2 / 3, 1 / 3, 0, 0]),
        (0.76, P),
        (1, P),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_it(top, p):
    assert close(frequencies(DrawSettings(top_p=top)), torch.as_tensor(p))


def test_top_p_1_keeps_everything():
    logits = torch.tensor([0.0, -60.0, -80.0])
    assert torch.equal(top_p(logits, 1.0), logits)


@given(st.integers(1, 600), st.floats(0, 8), st.floats(1e-6, 1 - 1e-6), st.integers(0, 2**31))
def test_top_p_of_large_distributions(size, sharpness, p, seed):
    logits = torch.randn(size, generator=torch.Generator().manual_seed(seed)) * sharpness
    kept = top_p(logits, p).isfinite()
    q = logits.double().softmax(-1)
    least = q[kept].min()
    assert q[kept].sum() >= p - 1e-5
    more = q > least * (1 + 1e-6)  # in float32 these are not equal
    assert q[kept & more].sum() < p + 1e-5  # the fewest, but for equals
    assert (q[~kept] <= least).all()  # the most probable


def test_temperature_is_applied_before_top_p():
    """At temperature 1 / 2 the first two have 20 / 22 of the probability, at 1 only 3 / 4."""
    assert close(frequencies(DrawSettings(temperature=0.5, top_p=0.85)), torch.tensor([0.8, 0.2, 0, 0]))


def test_an_entry_with_probability_0_is_never_drawn():
    p = torch.tensor([0.0, 0.3, 0.0, 0.7, 0.0])
    edges = torch.tensor([2.0**-33, 0.3 - 1e-6, 0.3 + 1e-6, 1 - 2.0**-33], dtype=torch.float64)
    assert draw(p.expand(4, -1), edges).tolist() == [1, 1, 3, 3]


def test_a_uniform_number_at_an_edge_draws_the_next_possible_entry():
    p = torch.tensor([0.0, 0.25, 0.0, 0.75])
    assert draw(p.expand(2, -1), torch.tensor([0.0, 0.25], dtype=torch.float64)).tolist() == [1, 3]


def test_each_row_has_its_own_number():
    """The same distribution in every row: rows agree as often as independent draws do."""
    ids = draw(P.expand(DRAWS, -1), uniform(1, DRAWS))
    same = (ids[1:] == ids[:-1]).double().mean()
    expected = (P**2).sum()
    assert abs(same - expected) < 4 * math.sqrt(expected * (1 - expected) / DRAWS)


def test_codes_follow_the_chain_rule():
    """Tokens of two codes have the frequencies and the log-probabilities of the joint table."""
    prior = fake_prior((3, 2))
    log_p = prior.log_p[0, 1, 2].expand(100, DRAWS // 100, -1)
    codes, confidence = FakeProposal(log_p, (3, 2)).sample(
        DrawSettings(), GivenNumbers(uniform(5, 100, DRAWS // 100, 2))
    )
    ids = pack(codes, (3, 2))
    assert close(torch.bincount(ids.flatten(), minlength=6) / DRAWS, log_p[0, 0].exp())
    assert torch.allclose(confidence.double(), log_p.gather(-1, ids.unsqueeze(-1)).squeeze(-1), atol=1e-5)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"temperature": 3.0}, {"top_p": 0.2}])
def test_confidence_ignores_temperature_and_cuts(options):
    log_p = fake_prior((6,)).log_p[0, 1].view(2, 3, 6)
    codes, confidence = FakeProposal(log_p, (6,)).sample(DrawSettings(**options), GivenNumbers(uniform(5, 2, 3, 1)))
    assert torch.allclose(confidence.double(), log_p.gather(-1, codes).squeeze(-1), atol=1e-5)


def test_confidence_is_computed_only_on_request():
    log_p, numbers = fake_prior((6,)).log_p[0, 1].view(2, 3, 6), GivenNumbers(uniform(5, 2, 3, 1))
    codes, confidence = FakeProposal(log_p, (6,)).sample(DrawSettings(score="none"), numbers)
    assert torch.equal(codes, FakeProposal(log_p, (6,)).sample(DrawSettings(), numbers)[0])
    assert not confidence.any()


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0, 100.0])
def test_guidance_changes_odds_by_a_power(scale):
    prior = fake_prior((4,))
    with_text, without = prior.log_p[1, 0, 0], prior.log_p[0, 0, 0]
    logits = apply_guidance(torch.stack([with_text, without]).float(), scale).flatten()
    odds = logits[1:] - logits[:-1]
    expected = torch.diff(without) + scale * (torch.diff(with_text) - torch.diff(without))
    assert torch.allclose(odds.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_reported(wrong):
    broken, logits = torch.zeros((), dtype=torch.bool), torch.zeros(2, 3, 6)
    assert finite(logits, broken) is not None
    assert not broken
    logits[1, 2, 3] = wrong
    assert finite(logits, broken).isfinite().all()
    assert broken
    assert finite(logits, None) is logits
