"""`guidance_start` and `guidance_end`: outside of the interval of steps, the scale is 1."""

from dataclasses import replace

import pytest
import torch

from sampling.config import SamplerConfig
from sampling.guidance import scale_of
from sampling.rng import counter_rng
from sampling.schedule import is_within
from tests.sampling.fake import fake_prior, frame_of, plain_prior, run_autoregressive, run_maskgit

CPU = torch.device("cpu")


def scales(steps: int, **settings) -> list[float]:
    sampler = SamplerConfig(guidance_scale=5.0, **settings)
    return [scale_of(sampler, step, steps) for step in range(steps)]


def test_a_step_is_within_the_interval_if_its_middle_is():
    assert scales(4) == [5, 5, 5, 5]
    assert scales(4, guidance_start=0.5) == [1, 1, 5, 5]
    assert scales(4, guidance_end=0.5) == [5, 5, 1, 1]
    assert scales(4, guidance_start=0.3, guidance_end=0.7) == [1, 5, 5, 1]
    assert scales(4, guidance_start=0.375, guidance_end=0.375) == [1, 5, 1, 1]
    assert scales(1, guidance_start=0.5) == scales(1, guidance_end=0.5) == [5]
    assert scales(1, guidance_start=0.6) == scales(1, guidance_end=0.4) == [1]
    assert scales(3, guidance_end=0) == scales(3, guidance_start=0.7, guidance_end=0.3) == [1, 1, 1]


def test_the_rise_of_guidance_is_over_all_steps_of_the_frame():
    assert scales(5, guidance_schedule="linear") == [1, 2, 3, 4, 5]
    assert scales(5, guidance_schedule="linear", guidance_start=0.2, guidance_end=0.75) == [1, 2, 3, 4, 1]


@pytest.mark.parametrize("steps", range(1, 12))
def test_neighboring_intervals_share_the_steps(steps):
    """Each step is in one of two intervals that meet between the middles of steps, and in the whole."""
    for cut in (0.01, 0.26, 0.77):
        inside = [(is_within(0, cut, step, steps), is_within(cut, 1, step, steps)) for step in range(steps)]
        assert all(one != other for one, other in inside)
        assert all(is_within(0, 1, step, steps) for step in range(steps))


@pytest.mark.parametrize("order", ["halton", "confidence", "threshold", "entropy", "raster"])
def test_outside_of_the_interval_a_frame_is_that_of_the_text_alone(order):
    """With an interval without steps, the codes are those without guidance."""
    prior, seeds = fake_prior(sharpness=1.5), (1, 2, 3)
    ids = torch.full((3, *prior.shape), prior.unknown)
    plain = SamplerConfig(order=order)
    text = torch.ones(3, dtype=torch.bool)
    wanted = run_maskgit(prior, prior.begin(text, 3), ids, plain, counter_rng(seeds, 0)).ids
    both = torch.cat([text, ~text])
    for guided, same in (
        (replace(plain, guidance_scale=6.0, guidance_start=0.0, guidance_end=0.0), True),
        (replace(plain, guidance_scale=6.0, guidance_start=1.0, guidance_end=1.0), True),
        (replace(plain, guidance_scale=6.0), False),
    ):
        found = run_maskgit(prior, prior.begin(both, 6), ids, guided, counter_rng(seeds, 0)).ids
        assert torch.equal(found, wanted) == same


def test_only_the_steps_of_the_interval_are_guided():
    """Two tokens, one a step: guidance of 100 takes the code that the text favors, 1 leaves its frequency."""
    prior = plain_prior([0.2, 0.3, 0.5], [0.5, 0.3, 0.2], shape=(1, 2))
    many = 4000
    for settings, guided in (({"guidance_end": 0.5}, 0), ({"guidance_start": 0.5}, 1)):
        sampler = SamplerConfig(order="raster", guidance_scale=100, **settings)
        past = prior.begin(torch.arange(2 * many) < many, 2 * many)
        ids = run_maskgit(prior, past, torch.full((many, 1, 2), 3), sampler, counter_rng(range(many), 0)).ids[:, 0]
        assert (ids[:, guided] == 0).all()
        assert abs(float((ids[:, 1 - guided] == 0).double().mean()) - 0.5) < 0.04


def test_samples_with_fewer_masked_tokens_have_intervals_of_their_own():
    prior, seeds = fake_prior(sharpness=1.5), (1, 2)
    ids = torch.full((2, *prior.shape), prior.unknown)
    ids[1, :3] = 1
    ids[1, 3, 0] = 2  # three are left
    sampler = SamplerConfig(guidance_scale=5.0, guidance_start=0.3, guidance_end=0.6)
    both = torch.tensor([True, True, False, False])
    together = run_maskgit(prior, prior.begin(both, 4), ids, sampler, counter_rng(seeds, 0)).ids
    for row, seed in enumerate(seeds):
        past = prior.begin(torch.tensor([True, False]), 2)
        alone = run_maskgit(prior, past, ids[row : row + 1], sampler, counter_rng([seed], 0)).ids
        assert torch.equal(alone[0], together[row])


def test_the_order_autoregressive_has_the_interval_too():
    prior = plain_prior([0.2, 0.8], [0.8, 0.2], shape=(1, 4))
    many = 500
    sampler = SamplerConfig(order="autoregressive", guidance_scale=100, guidance_start=0.5)
    past = prior.begin(torch.arange(2 * many) < many, 2 * many)
    ids = run_autoregressive(prior, past, torch.full((many, 1, 4), 2), sampler, counter_rng(range(many), 0)).ids[:, 0]
    assert (ids[:, 2:] == 0).all()
    assert (ids[:, :2] == 1).any(0).all()
    assert frame_of(prior, ids).known_BN.all()
