"""Continuous tokens: codes are means, the decoder gets samples in training, and the KL term is the textbook's."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tokenizer.quantize import ContinuousConfig, make_quantizer
from tokenizer.quantize.continuous import LEAST_LOG_VARIANCE, kl_to_standard_normal

PLAIN, NOISY, KL = (ContinuousConfig(3, **each) for each in ({}, {"noise": 0.5}, {"kl_weight": 0.01}))
CONFIGS = {"plain": PLAIN, "noisy": NOISY, "kl": KL}


def latents_of(config: ContinuousConfig, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, config.encoder_dim, generator=torch.Generator().manual_seed(0))


def test_the_divergence_is_that_of_the_formula_by_hand() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0], [0.0, 2.0]]), torch.tensor([[0.0, math.log(4.0)], [-1.0, 0.5]])
    by_hand = [
        0.5 * (0.25 + 1 - 1 - 0) + 0.5 * (1 + 4 - 1 - math.log(4)),
        0.5 * (0 + math.exp(-1) - 1 + 1) + 0.5 * (4 + math.exp(0.5) - 1 - 0.5),
    ]
    assert kl_to_standard_normal(mean, log_variance).item() == pytest.approx(sum(by_hand) / 2, rel=1e-6)
    peer = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), peer)


def test_the_gradient_of_the_divergence_is_that_of_the_formula_by_hand() -> None:
    mean, log_variance = (x.requires_grad_() for x in torch.randn(2, 5, 3, dtype=torch.float64))
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mean, log_variance))
    of_mean, of_log_variance = torch.autograd.grad(kl_to_standard_normal(mean, log_variance), (mean, log_variance))
    torch.testing.assert_close(of_mean, mean / 5)
    torch.testing.assert_close(of_log_variance, (log_variance.exp() - 1) / 10)


def test_the_term_has_its_weight_and_the_log_has_nats() -> None:
    latents = latents_of(KL, 7)
    out = make_quantizer(KL).quantize(latents)
    nats = kl_to_standard_normal(latents[:, :3], latents[:, 3:])
    torch.testing.assert_close(out.losses, {"kl": 0.01 * nats})
    torch.testing.assert_close(out.metrics, {"kl_nats": nats})
    assert make_quantizer(PLAIN).quantize(latents_of(PLAIN, 7)).losses == {}


@pytest.mark.parametrize("name", CONFIGS)
def test_in_evaluation_the_mean_is_decoded_and_codes_are_means_in_training_too(name: str) -> None:
    quantizer, latents = make_quantizer(CONFIGS[name]), latents_of(CONFIGS[name], 2, 5)
    out = quantizer.eval().quantize(latents)
    assert torch.equal(out.latents, latents[..., :3])
    for codes in (out.codes, quantizer.train().quantize(latents).codes, quantizer.to_codes(quantizer.project(latents))):
        assert torch.equal(codes, latents[..., :3])
        assert not codes.requires_grad
    assert (quantizer.codebooks, quantizer.channels, list(quantizer.state_dict())) == ((), 3, [])


def test_in_training_a_sample_is_decoded_whose_gradient_reaches_mean_and_variance() -> None:
    mean, log_variance = (
        torch.full((20_000, 3), 2.0, requires_grad=True),
        torch.full((20_000, 3), -1.0, requires_grad=True),
    )
    torch.manual_seed(0)
    passed = make_quantizer(KL).quantize(torch.cat([mean, log_variance], -1)).latents
    torch.testing.assert_close(passed.mean(0), torch.full((3,), 2.0), atol=0.02, rtol=0)
    torch.testing.assert_close(passed.std(0), torch.full((3,), math.exp(-0.5)), atol=0.02, rtol=0)
    of_mean, of_log_variance = torch.autograd.grad(passed.sum(), (mean, log_variance))
    assert torch.equal(of_mean, torch.ones_like(mean))
    torch.testing.assert_close(of_log_variance, (passed - mean).detach() / 2)


def test_noise_has_its_deviation_and_plain_latents_pass_unchanged() -> None:
    latents = torch.zeros(20_000, 3)
    torch.manual_seed(0)
    assert make_quantizer(NOISY).quantize(latents).latents.std().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(make_quantizer(PLAIN).quantize(latents).latents, latents)


def test_a_vanishing_variance_is_finite() -> None:
    latents = torch.cat([torch.zeros(4, 3), torch.full((4, 3), 100 * LEAST_LOG_VARIANCE)], -1).requires_grad_()
    out = make_quantizer(KL).quantize(latents)
    (gradient,) = torch.autograd.grad(out.losses["kl"] + out.latents.sum(), latents)
    assert out.latents.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", CONFIGS)
def test_autocast_changes_nothing(name: str) -> None:
    quantizer, latents = make_quantizer(CONFIGS[name]), latents_of(CONFIGS[name], 64)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        under = quantizer.quantize(latents)
    torch.manual_seed(0)
    plain = quantizer.quantize(latents)
    assert torch.equal(under.latents, plain.latents)
    assert under.losses == plain.losses


@pytest.mark.parametrize("wrong", [torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.int64)])
def test_other_codes_are_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected float32 \[\.\.\., 3\]"):
        make_quantizer(PLAIN).to_latents(wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim = 0"),
        ({"dim": 4, "kl_weight": -1.0}, "kl_weight = -1"),
        ({"dim": 4, "noise": math.nan}, "noise = nan"),
        ({"dim": 4, "noise": 0.1, "kl_weight": 0.1}, "noise = 0.1 must be 0 with a kl_weight"),
    ],
)
def test_wrong_settings_are_named(settings, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        ContinuousConfig(**settings)
