"""What holds for every quantizer."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.tokenizer.quantize.families import FAMILIES, bsq, lfq
from tokenizer.quantize import FSQConfig, Quantizer, make_quantizer


@pytest.fixture(params=FAMILIES)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    return make_quantizer(FAMILIES[request.param])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_ids_to_latents_to_ids_is_the_identity_over_the_whole_codebook(
    quantizer: Quantizer, dtype: torch.dtype, autocast: bool
) -> None:
    ids = torch.arange(quantizer.size)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        codes = quantizer.to_latents(ids)
        again = quantizer.to_ids(codes.to(dtype))
    assert codes.shape == (quantizer.size, quantizer.dim)
    assert codes.dtype == torch.float32
    assert len(codes.unique(dim=0)) == quantizer.size
    assert again.dtype == torch.int64
    assert torch.equal(again, ids)


def test_a_latent_goes_to_its_nearest_code(quantizer: Quantizer) -> None:
    bounded = quantizer.bound(torch.randn(200, quantizer.dim))
    codes = quantizer.to_latents(torch.arange(quantizer.size))
    if quantizer.size > 5000:
        codes = codes[torch.randperm(quantizer.size)[:5000]]
    distance = (quantizer.to_latents(quantizer.to_ids(bounded)) - bounded).norm(dim=-1)
    assert (distance <= torch.cdist(bounded, codes).min(-1).values + 1e-4).all()


def test_quantize_puts_the_parts_together(quantizer: Quantizer) -> None:
    latents = torch.randn(2, 3, 4, 5, quantizer.dim)
    out = quantizer.quantize(latents)
    assert torch.equal(out.ids, quantizer.to_ids(quantizer.bound(latents)))
    assert out.ids.shape == (2, 3, 4, 5)
    torch.testing.assert_close(out.latents, quantizer.to_latents(out.ids), atol=1e-6, rtol=0)
    assert all(value.ndim == 0 for value in out.losses.values())


def test_the_gradient_passes_straight_through(quantizer: Quantizer) -> None:
    latents = torch.randn(7, quantizer.dim, requires_grad=True)
    weights = torch.randn(7, quantizer.dim)
    (through,) = torch.autograd.grad((quantizer.quantize(latents).latents * weights).sum(), latents)
    (plain,) = torch.autograd.grad((quantizer.bound(latents) * weights).sum(), latents)
    assert torch.equal(through, plain)


def test_autocast_changes_nothing(quantizer: Quantizer) -> None:
    latents = torch.randn(64, quantizer.dim)
    with torch.autocast("cpu", torch.bfloat16):
        under = quantizer.quantize(latents)
    plain = quantizer.quantize(latents)
    assert torch.equal(under.ids, plain.ids)
    assert torch.equal(under.latents, plain.latents)
    assert all(torch.equal(under.losses[name], plain.losses[name]) for name in plain.losses)


def test_the_mask_and_other_strangers_are_refused(quantizer: Quantizer) -> None:
    for stranger in (quantizer.size, -1):
        with pytest.raises(ValueError, match=rf"the codes are 0 to {quantizer.size - 1}"):
            quantizer.to_latents(torch.tensor([0, stranger]))
    with pytest.raises(ValueError, match="int64"):
        quantizer.to_latents(torch.zeros(3))


def test_quantizing_in_training_does_not_wait_for_the_device(quantizer: Quantizer) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):  # any look at a value is an error
        out = quantizer.quantize(torch.zeros(2, 5, quantizer.dim))
    assert out.ids.shape == (2, 5)
    assert out.latents.shape == (2, 5, quantizer.dim)


def test_it_has_nothing_to_save(quantizer: Quantizer) -> None:
    assert quantizer.state_dict() == {}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FSQConfig(levels=()), "levels"),
        (lambda: FSQConfig(levels=(8, 1)), "levels"),
        (lambda: FSQConfig(levels=(64,) * 11), "levels"),
        (lambda: lfq(0), "bits = 0"),
        (lambda: lfq(63), "bits = 63"),
        (lambda: bsq(30), "bits = 30: beyond 24 set batch_entropy_weight to 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        make()
