"""The noise has the distribution that its name promises, and is the same again."""

import math

import torch

from tokenizer.quantize.gumbel import gumbel_noise, uniform_noise


def seeds(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-(2**62), 2**62, (count, 1), generator=torch.Generator().manual_seed(seed))


def test_uniform_numbers_fill_the_open_interval_evenly() -> None:
    numbers = uniform_noise(seeds(400), 1000)
    assert 0 < numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    counts = torch.histc(numbers, 50, 0, 1)
    assert ((counts - 8000).abs() < 6 * math.sqrt(8000)).all()


def test_the_ends_of_the_interval_stay_finite() -> None:
    lowest, highest = -(2**22), 2**22 - 1  # what the highest bits of a state can be
    ends = torch.tensor([lowest, highest]).float().add_(2**22 + 0.5).mul_(2.0**-23)
    assert ends.min() > 0
    assert ends.max() < 1


def test_gumbel_numbers_have_their_mean_and_variance_and_are_not_correlated() -> None:
    noise = gumbel_noise(seeds(400), 1000).double()
    assert abs(noise.mean() - 0.5772) < 0.01
    assert abs(noise.var() - math.pi**2 / 6) < 0.02
    for left, right in ((noise[:, 1:], noise[:, :-1]), (noise[1:], noise[:-1]), (noise[:, 7:], noise[:, :-7])):
        assert abs(torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]) < 0.01


def test_the_largest_noisy_logit_is_drawn_with_the_probability_of_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    drawn = (logits + gumbel_noise(seeds(40_000), 4)).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, logits.softmax(-1), atol=0.01, rtol=0)


def test_neighboring_seeds_give_unrelated_noise() -> None:
    noise = gumbel_noise(torch.arange(300).unsqueeze(1), 300)
    assert torch.corrcoef(noise).fill_diagonal_(0).abs().max() < 0.35  # six deviations of the correlation of 300 pairs
    assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 0.35


def test_each_tokens_noise_depends_on_its_seed_alone() -> None:
    whole, some = gumbel_noise(seeds(10), 8), gumbel_noise(seeds(10)[4:7], 8)
    assert torch.equal(whole[4:7], some)
