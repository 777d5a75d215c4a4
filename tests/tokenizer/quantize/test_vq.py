"""Vector quantization against a public library written by others, and what it does on its own."""

from dataclasses import replace

import pytest
import torch
import vector_quantize_pytorch as library  # type: ignore[import-untyped]
from torch import Tensor

from tokenizer.quantize.anneal import Anneal
from tokenizer.quantize.quantized import Quantized
from tokenizer.quantize.revival import Revival
from tokenizer.quantize.vq import VQ, VQConfig, rotated

SMALL = VQConfig(64, 8)


def trained(config: VQConfig) -> VQ:
    quantizer = VQ(config)
    quantizer.begin_training()
    return quantizer


def clear_latents(quantizer: VQ, latents: Tensor) -> Tensor:
    """Those that are not almost equally near to two codes, where rounding decides."""
    distances = torch.cdist(quantizer.project(latents).double(), quantizer.all_codes.detach().double())
    best, second = distances.topk(2, largest=False).values.unbind(-1)
    return latents[second - best > 1e-4][None]


def step(quantizer: VQ, number: int, latents: Tensor) -> Quantized:
    quantizer.set_step(number)
    out = quantizer.quantize(latents)
    quantizer.update({**out.statistics, **out.samples})
    return out


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_moving_averages_are_those_of_the_library(distance: str) -> None:
    ours = trained(replace(SMALL, distance=distance, decay=0.97))  # type: ignore[arg-type]
    theirs = library.VectorQuantize(
        dim=8, codebook_size=64, decay=0.97, use_cosine_sim=distance == "cosine", commitment_weight=0.25,
        threshold_ema_dead_code=0, rotation_trick=False,
    ).train()  # fmt: skip
    ours.codebook.copy_(theirs._codebook.embed[0])
    ours.learning.sums.copy_(theirs._codebook.embed_avg[0])  # type: ignore[union-attr, operator]
    for number in range(50):
        latents = clear_latents(ours, torch.randn(1, 300, 8) * (1 + number / 50) + 0.5)
        mine, other = (latents.clone().requires_grad_() for _ in range(2))
        out = step(ours, number, mine)
        quantized, codes, loss = theirs(other)
        assert torch.equal(out.codes[..., 0], codes)
        torch.testing.assert_close(out.latents, quantized, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(out.losses["commitment"], loss.squeeze())
        (out.latents.square().sum() + out.losses["commitment"]).backward()
        (quantized.square().sum() + loss.squeeze()).backward()
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.codebook, theirs._codebook.embed[0], atol=1e-4, rtol=1e-4)
    assert not torch.equal(ours.codebook, VQ(SMALL).codebook)


def test_learning_by_gradient_is_that_of_the_library() -> None:
    ours = VQ(replace(SMALL, learning="gradient", commitment_weight=1.0))
    theirs = library.VectorQuantize(
        dim=8, codebook_size=64, ema_update=False, learnable_codebook=True, commitment_weight=1.0, rotation_trick=False
    ).train()
    theirs._codebook.embed.data.copy_(ours.codebook.detach()[None])
    latents = clear_latents(ours, torch.randn(1, 300, 8))
    mine, other = (latents.clone().requires_grad_() for _ in range(2))
    out = ours.quantize(mine)
    quantized, codes, loss = theirs(other)
    assert torch.equal(out.codes[..., 0], codes)
    (out.latents.square().sum() + sum(out.losses.values())).backward()
    (quantized.square().sum() + loss.squeeze()).backward()
    assert ours.codebook.grad is not None
    # The library sends the gradient of one distance both ways, so does ours with both weights at 1.
    torch.testing.assert_close(ours.codebook.grad, theirs._codebook.embed.grad[0])
    assert torch.count_nonzero(ours.codebook.grad.sum(1)) == len(out.codes.unique()), "codes in use alone are moved"


def test_the_rotation_trick_is_that_of_the_library() -> None:
    ours = VQ(replace(SMALL, gradient="rotation"))
    theirs = library.VectorQuantize(dim=8, codebook_size=64, rotation_trick=True, commitment_weight=0.25).train()
    ours.codebook.copy_(theirs._codebook.embed[0])
    latents = clear_latents(ours, torch.randn(1, 200, 8))
    weights = torch.randn_like(latents)
    mine, other = (latents.clone().requires_grad_() for _ in range(2))
    out, quantized = ours.quantize(mine), theirs(other)[0]
    torch.testing.assert_close(out.latents, quantized, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.latents, ours.to_latents(out.codes), atol=1e-5, rtol=1e-4)
    for result in (out.latents, quantized):
        (result * weights).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_the_rotation_keeps_the_angle_between_gradient_and_code() -> None:
    latents, codes, gradient = torch.randn(30, 5, requires_grad=True), torch.randn(30, 5), torch.randn(30, 5)
    rotated(latents, codes).backward(gradient)  # type: ignore[no-untyped-call]
    assert latents.grad is not None
    before = torch.cosine_similarity(gradient, codes, dim=-1)
    torch.testing.assert_close(torch.cosine_similarity(latents.grad, latents.detach(), dim=-1), before)


def test_a_latent_of_zero_or_opposite_to_its_code_is_rotated_onto_it_too() -> None:
    latents = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [0.3, 0.3, 0.3]], requires_grad=True)
    codes = torch.tensor([[3.0, 1.0, 2.0], [-3.0, 6.0 + 1e-6, -1.5], [1.0, 0.0, 0.0]])
    gradient = torch.randn(3, 3)
    value = rotated(latents, codes)
    torch.testing.assert_close(value, codes)
    value.backward(gradient)  # type: ignore[no-untyped-call]
    assert latents.grad is not None
    assert torch.equal(latents.grad[0], gradient[0])
    assert latents.grad.norm(dim=-1).max() < 10 * gradient.norm(dim=-1).max(), "scales are at most 3"


@pytest.mark.parametrize(("learning", "names"), [("ema", {"counts", "sums"}), ("gradient", {"counts"})])
def test_processes_exchange_only_what_is_needed(learning: str, names: set[str]) -> None:
    quantizer = trained(replace(SMALL, learning=learning, revival=Revival()))  # type: ignore[arg-type]
    assert set(quantizer.quantize(torch.randn(50, 8)).statistics) == names


def test_statistics_of_parts_add_up() -> None:
    latents = torch.randn(120, 8)
    whole, parts = trained(SMALL), trained(SMALL)
    parts.load_state_dict(whole.state_dict())
    step(whole, 0, latents)
    outs = [parts.quantize(part) for part in latents.split([50, 70])]
    parts.update({name: outs[0].statistics[name] + outs[1].statistics[name] for name in outs[0].statistics})
    torch.testing.assert_close(parts.codebook, whole.codebook)


def test_codes_follow_their_latents_and_others_stay() -> None:
    quantizer = trained(replace(SMALL, decay=0.5))
    before = quantizer.codebook.clone()
    latents = before[:10] + 0.01
    for number in range(20):
        step(quantizer, number, latents)
    torch.testing.assert_close(quantizer.codebook[:10], latents, atol=1e-3, rtol=0)
    assert torch.equal(quantizer.codebook[10:], before[10:])


def test_frozen_codes_stay() -> None:
    quantizer = trained(replace(SMALL, learning="frozen"))
    before = quantizer.codebook.clone()
    out = quantizer.quantize(torch.randn(300, 8))
    assert out.statistics == out.samples == {}
    assert list(quantizer.parameters()) == []
    assert torch.equal(quantizer.codebook, before)


def test_commitment_is_annealed_by_the_step() -> None:
    schedule = Anneal(start=1.0, end=0.1, steps=10, shape="linear")
    quantizer, latents = VQ(replace(SMALL, commitment_schedule=schedule)), torch.randn(20, 8)
    weights = []
    for number in (0, 5, 10, 99):
        quantizer.set_step(number)
        out = quantizer.quantize(latents)
        distance = (latents - quantizer.to_latents(out.codes)).square().mean()
        weights.append(float(out.losses["commitment"] / distance))
    assert weights == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_training_goes_on_from_a_model_without_the_tensors_of_training() -> None:
    config = replace(SMALL, first="kmeans")
    old, new = trained(config), trained(config)
    for number in range(3):
        step(old, number, torch.randn(200, 8))
    new.load_state_dict({"codebook": old.codebook})
    step(new, 0, old.codebook[:5].clone())
    torch.testing.assert_close(new.codebook, old.codebook, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 1),
        ("dim", 0),
        ("decay", 1.0),
        ("commitment_weight", -1.0),
        ("first_samples", 63),
        ("first_samples", 10**13),
        ("smoothing", -1e-5),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} = "):
        replace(SMALL, **{name: value})  # type: ignore[arg-type]
