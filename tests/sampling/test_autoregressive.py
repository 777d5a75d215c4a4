import pytest
import torch

from sampling.config import SamplerConfig
from sampling.rng import counter_rng
from tests.sampling.fake import fake_prior, run_autoregressive, run_maskgit

RISING = {"guidance_scale": 3.0, "guidance_schedule": "linear"}
OPTIONS = [{}, {"temperature": 0.5}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.6}, {"guidance_scale": 3.0}, RISING]


def a_past(prior, sampler, batch):
    text = torch.arange(batch * (2 if sampler.guided else 1)) < batch
    past = prior.begin(text, len(text))
    return past._replace(last_BN=torch.arange(6).repeat(len(text), 1))


@pytest.mark.parametrize("options", OPTIONS)
def test_autoregressive_and_raster_have_the_same_distribution(options):
    """The two orders use different random numbers, so only frequencies agree; at temperature 0 every token."""
    many, prior = 4000, fake_prior((3, 2), shape=(2, 3))
    cached, masked = SamplerConfig(order="autoregressive", **options), SamplerConfig(order="raster", **options)
    ids = torch.full((many, 2, 3), prior.unknown)
    seen = run_autoregressive(prior, a_past(prior, cached, many), ids, cached, counter_rng(range(many), 0)).ids
    other = run_maskgit(prior, a_past(prior, masked, many), ids, masked, counter_rng(range(many), 1)).ids
    if options.get("temperature") == 0:
        assert torch.equal(seen, other)
    pairs = (torch.nn.functional.one_hot(each.flatten(1), 6).double() for each in (seen, other))
    law, other_law = (torch.einsum("bia,bjc->iajc", each, each) / many for each in pairs)
    p = (law + other_law) / 2
    assert ((law - other_law).abs() <= 5 * (2 * p * (1 - p) / many).sqrt()).all()


@pytest.mark.parametrize("options", OPTIONS)
def test_a_sample_of_a_batch_equals_the_sample_alone(options):
    prior, sampler, seeds = fake_prior(shape=(2, 3)), SamplerConfig(order="autoregressive", **options), [5, 6, 7]
    ids = torch.full((3, 2, 3), prior.unknown)
    ids[1, 1], ids[2, 0] = 4, 2
    past = a_past(prior, sampler, 3)
    together = run_autoregressive(prior, past, ids, sampler, counter_rng(seeds, 2))
    assert together.steps_B.tolist() == [6, 3, 6]
    for i, seed in enumerate(seeds):
        alone_past = a_past(prior, sampler, 1)
        alone = run_autoregressive(prior, alone_past, ids[i : i + 1], sampler, counter_rng([seed], 2))
        assert torch.equal(together.ids[i], alone.ids[0])
        assert together.steps_B[i] == alone.steps_B[0]


def test_given_tokens_stay_and_sampling_stops_after_the_last_masked_token():
    prior, sampler = fake_prior(shape=(2, 3)), SamplerConfig(order="autoregressive")
    ids = torch.full((1, 2, 3), prior.unknown)
    ids[0, 0, 1], ids[0, 1] = 3, torch.tensor([1, 2, 0])
    before = ids.clone()
    sampled = run_autoregressive(prior, a_past(prior, sampler, 1), ids, sampler, counter_rng([1], 0))
    known = before != prior.unknown
    assert torch.equal(sampled.ids[known], before[known])
    assert torch.equal(ids, before)
    assert prior.passes == sampled.steps_B.item() == 3


def test_a_given_frame_takes_no_steps():
    prior, sampler = fake_prior(shape=(2, 3)), SamplerConfig(order="autoregressive")
    ids = torch.ones(2, 2, 3, dtype=torch.int64)
    sampled = run_autoregressive(prior, a_past(prior, sampler, 2), ids, sampler, counter_rng([1, 2], 0))
    assert torch.equal(sampled.ids, ids)
    assert prior.passes == 0
    assert sampled.steps_B.tolist() == [0, 0]
