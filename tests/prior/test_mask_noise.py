"""Random numbers at masked tokens: an input of the prior, in training as in streams."""

import pytest
import torch

from interfaces.prior import Text
from sampling.config import SamplerConfig
from sampling.rng import counter_rng
from sampling.rollout import sample_frames, start_rollout
from tests.prior.models import WORDS, every_law, tiny_batch, tiny_config, tiny_model


@pytest.fixture
def config():
    return tiny_config(context=WORDS, mask_noise=3)


def test_the_laws_hold(config):
    model, batch = tiny_model(config), tiny_batch(config, noise=0.3, frames=6)
    for verdict in every_law(model, batch):
        assert verdict.held, verdict


def test_masked_tokens_read_it_and_known_ones_do_not(config):
    model, batch = tiny_model(config), tiny_batch(config)
    features = model.features(batch)
    other = model.features(batch._replace(mask_noise=batch.mask_noise + 1))
    changed_BTN = (features - other).abs().amax(-1) > 1e-6  # a known token sees the masked ones of its frame
    assert torch.equal(changed_BTN, (~batch.known).any(-1, keepdim=True).expand_as(changed_BTN))
    everything = batch._replace(known=torch.ones_like(batch.known))
    again = everything._replace(mask_noise=batch.mask_noise + 1)
    assert torch.equal(model.features(everything), model.features(again))


def test_without_numbers_it_is_the_plain_prior(config):
    model, plain = tiny_model(config), tiny_model(tiny_config(context=WORDS))
    weights = {name: tensor for name, tensor in model.state_dict().items() if "mask_noise" not in name}
    plain.load_state_dict(weights)
    batch = tiny_batch(config)._replace(mask_noise=None)
    assert torch.equal(model.features(batch), plain.features(batch))


def sampled(model, text, seeds, sampler):
    """Four latent frames of each seed [B, T, N, K]."""
    if sampler.guided:
        twice = Text(*(torch.cat([part, part]) for part in text))
        text = twice.without(torch.arange(2 * len(seeds)) >= len(seeds))
    rollout = start_rollout(model, model.begin(text, len(text.mask)), seeds)
    return torch.stack([each.codes_BNK for each in sample_frames(model, rollout, sampler, 4)], 1)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_seed_gives_its_numbers_alone_and_in_a_batch(config, guidance):
    model, text, seeds = tiny_model(config), tiny_batch(config, batch=3).text, [5, 6, 7]
    sampler = SamplerConfig(steps=2, guidance_scale=guidance)
    together = sampled(model, text, seeds, sampler)
    for row in range(3):
        one = slice(row, row + 1)
        assert torch.equal(sampled(model, text.rows(one), seeds[one], sampler), together[one])


def test_without_temperature_the_numbers_are_all_that_differs(config):
    model, text, cold = tiny_model(config), tiny_batch(config, batch=3).text, SamplerConfig(steps=2, temperature=0)
    assert not torch.equal(sampled(model, text, [5, 6, 7], cold), sampled(model, text, [8, 9, 10], cold))


def test_the_numbers_are_standard_normal_and_belong_to_seed_and_frame():
    rng = counter_rng([1, 2], 3)
    numbers = rng.mask_noise(4000, 3)
    assert numbers.shape == (2, 4000, 3)
    assert abs(numbers.mean()) < 0.03
    assert abs(numbers.std() - 1) < 0.03
    assert abs((numbers[..., 0] * numbers[..., 1]).mean()) < 0.05
    assert torch.equal(counter_rng([2], 3).mask_noise(4000, 3)[0], numbers[1])
    assert not torch.equal(counter_rng([2], 4).mask_noise(4000, 3)[0], numbers[1])
    assert torch.equal(counter_rng([2], 3).mask_noise(10, 3)[0], numbers[1, :10])


def test_settings_are_checked():
    with pytest.raises(ValueError, match="mask_noise = 3 needs masked tokens"):
        tiny_config("autoregressive", mask_noise=3)
    with pytest.raises(ValueError, match="mask_noise = -1 must not be negative"):
        tiny_config(mask_noise=-1)
