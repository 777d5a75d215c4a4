"""What holds for every quantizer."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.tokenizer.quantize.families import FAMILIES, MIXED, all_tokens, bsq, lfq, lfq_without_batch_entropy
from tokenizer.quantize import FSQConfig, Quantizer, QuantizerConfig, make_quantizer
from tokenizer.quantize.base import ScalarQuantizer, group_radices
from tokenizer.quantize.codebook import LearnedCodebook


@pytest.fixture(params=FAMILIES)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    return make_quantizer(FAMILIES[request.param])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_codes_to_latents_to_codes_is_the_identity_over_the_whole_codebook(
    quantizer: Quantizer, dtype: torch.dtype, autocast: bool
) -> None:
    codes = all_tokens(quantizer)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        latents = quantizer.to_latents(codes)
        again = quantizer.to_codes(latents.to(dtype))
    assert latents.shape == (len(codes), quantizer.dim)
    assert latents.dtype == torch.float32
    assert len(latents.unique(dim=0)) == len(codes)
    assert again.dtype == torch.int64
    assert torch.equal(again, codes)


def test_a_latent_goes_to_its_nearest_code(quantizer: Quantizer) -> None:
    projected = quantizer.project(torch.randn(200, quantizer.dim))
    latents = quantizer.to_latents(all_tokens(quantizer))
    if len(latents) > 5000:
        latents = latents[torch.randperm(len(latents))[:5000]]
    distance = (quantizer.to_latents(quantizer.to_codes(projected)) - projected).norm(dim=-1)
    assert (distance <= torch.cdist(projected, latents).min(-1).values + 1e-4).all()


def test_quantize_puts_the_parts_together(quantizer: Quantizer) -> None:
    latents = torch.randn(2, 3, 4, 5, quantizer.dim)
    out = quantizer.eval().quantize(latents)
    assert torch.equal(out.codes, quantizer.to_codes(quantizer.project(latents)))
    assert out.codes.shape == (2, 3, 4, 5, len(quantizer.codebooks))
    torch.testing.assert_close(out.latents, quantizer.to_latents(out.codes), atol=1e-6, rtol=0)
    assert all(value.ndim == 0 for value in (out.losses | out.metrics).values())


@pytest.mark.parametrize("name", MIXED)
def test_the_gradient_of_a_mixture_reaches_more_codes_than_are_used(name: str) -> None:
    quantizer = make_quantizer(FAMILIES[name])
    latents = torch.randn(200, quantizer.dim, requires_grad=True)
    out = quantizer.quantize(latents)
    weighted = (out.latents * torch.randn(200, quantizer.dim)).sum()
    through, codes = torch.autograd.grad(weighted, (latents, quantizer.codebook))
    assert through.isfinite().all()
    assert codes.isfinite().all()
    assert (through != 0).any(-1).float().mean() > 0.95
    assert (codes != 0).any(-1).sum() > 1.5 * len(out.codes.unique())


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in MIXED])
def test_the_gradient_passes_straight_through(name: str) -> None:
    quantizer = make_quantizer(FAMILIES[name])
    latents = torch.randn(7, quantizer.dim, requires_grad=True)
    weights = torch.randn(7, quantizer.dim)
    (through,) = torch.autograd.grad((quantizer.quantize(latents).latents * weights).sum(), latents)
    (plain,) = torch.autograd.grad((quantizer.project(latents) * weights).sum(), latents)
    assert torch.equal(through, plain)


def test_autocast_changes_nothing(quantizer: Quantizer) -> None:
    latents = torch.randn(64, quantizer.dim)
    torch.manual_seed(0)  # some add noise
    with torch.autocast("cpu", torch.bfloat16):
        under = quantizer.quantize(latents)
    torch.manual_seed(0)
    plain = quantizer.quantize(latents)
    assert torch.equal(under.codes, plain.codes)
    assert torch.equal(under.latents, plain.latents)
    assert all(torch.equal(under.losses[name], plain.losses[name]) for name in plain.losses)


def test_codes_out_of_range_are_refused(quantizer: Quantizer) -> None:
    last = len(quantizer.codebooks) - 1
    for code in (quantizer.codebooks[-1], -1):
        codes = torch.zeros(3, last + 1, dtype=torch.int64)
        codes[1, -1] = code
        with pytest.raises(ValueError, match=f"code {code} of codebook {last}:"):
            quantizer.to_latents(codes)
    for wrong in (torch.zeros(3, last + 1), torch.zeros(3, last + 2, dtype=torch.int64)):
        with pytest.raises(ValueError):
            quantizer.to_latents(wrong)


def test_quantizing_in_training_does_not_wait_for_the_device(quantizer: Quantizer) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):  # any look at a value is an error
        out = quantizer.quantize(torch.zeros(2, 5, quantizer.dim))
    assert out.codes.shape == (2, 5, len(quantizer.codebooks))
    assert out.latents.shape == (2, 5, quantizer.dim)


def test_a_model_holds_its_codebook_alone(quantizer: Quantizer) -> None:
    assert list(quantizer.state_dict()) == (["codebook"] if isinstance(quantizer, LearnedCodebook) else [])
    out = quantizer.quantize(torch.randn(2, quantizer.dim))
    assert out.statistics == out.samples == {}


@pytest.mark.parametrize(
    ("radices", "expected"),
    [
        ((8, 8, 8, 5, 5, 5), (8, 8, 8, 5, 5, 5)),
        ((2,) * 18, (4, 16, 16, 16, 16)),
        ((2, 3, 2), (12,)),
        ((64, 2), (64, 2)),
    ],
)
def test_radices_are_grouped_to_few_even_codebooks(radices: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert group_radices(radices) == expected


@pytest.mark.parametrize("config", [FAMILIES["fsq-binary"], lfq(10), bsq(18)], ids=lambda config: config.kind)
def test_codes_count_through_the_levels_of_their_dimensions(config: QuantizerConfig) -> None:
    quantizer = make_quantizer(config)
    assert isinstance(quantizer, ScalarQuantizer)
    latents, places = torch.randn(50, quantizer.dim), iter(range(quantizer.dim))
    levels = quantizer.to_levels(quantizer.project(latents))
    codes = quantizer.quantize(latents).codes
    for column, size in zip(codes.T, quantizer.codebooks, strict=True):
        expected, stride = torch.zeros(50, dtype=torch.int64), 1
        while stride < size:
            place = next(places)
            expected, stride = expected + levels[:, place] * stride, stride * int(quantizer.levels[place])
        assert torch.equal(column, expected)
    assert next(places, None) is None


@pytest.mark.parametrize("config", [FSQConfig(levels=(64,) * 14), lfq_without_batch_entropy(80)])
def test_a_token_may_have_more_bits_than_an_integer(config: QuantizerConfig) -> None:
    quantizer = make_quantizer(config)
    latents = torch.randn(30, quantizer.dim)
    codes = quantizer.quantize(latents).codes
    assert math.prod(quantizer.codebooks) >= 2**80
    assert torch.equal(quantizer.to_codes(quantizer.to_latents(codes).bfloat16()), codes)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: FSQConfig(levels=()), "levels"),
        (lambda: FSQConfig(levels=(8, 1)), "levels"),
        (lambda: FSQConfig(levels=(8, 65)), "levels"),
        (lambda: lfq(0), "bits = 0"),
        (lambda: lfq(63), "bits = 63: .*batch_entropy_weight"),
        (lambda: bsq(30), "bits = 30: .*batch_entropy_weight"),
    ],
)
def test_impossible_settings_are_refused_by_name(make, named) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=named):
        make()
