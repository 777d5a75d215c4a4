"""IBQ and soft VQ: values of codes or of mixtures, with the gradients of mixtures."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tokenizer.quantize.families import FAMILIES, MIXED
from tokenizer.quantize import IBQ, VQ, IBQConfig, SoftVQ, SoftVQConfig, VQConfig, make_quantizer
from tokenizer.quantize.anneal import Anneal


def soft(mixture: str = "mean", start: float = 0.5, **settings: object) -> SoftVQ:
    config = SoftVQConfig(20, 3, Anneal(start, start / 100, steps=100), mixture=mixture, **settings)  # type: ignore[arg-type]
    return SoftVQ(config)


def slopes(quantizer: IBQ | SoftVQ, decoded: Tensor, latents: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, decoded.numel()).view_as(decoded)
    return torch.autograd.grad((decoded * weights).sum(), (latents, quantizer.codebook))


def probabilities(latents: Tensor, codebook: Tensor, temperature: float) -> Tensor:
    return (-(latents.unsqueeze(-2) - codebook).square().sum(-1) / temperature).softmax(-1)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_ibq_has_the_gradient_of_a_one_hot_code_that_is_soft(temperature: float) -> None:
    quantizer = IBQ(IBQConfig(20, 3, temperature=temperature))
    latents = torch.randn(4, 9, 3, requires_grad=True)
    out = quantizer.quantize(latents)
    p = probabilities(latents, quantizer.codebook, temperature)
    oracle = (F.one_hot(out.codes[..., 0], 20) + p - p.detach()) @ quantizer.codebook
    torch.testing.assert_close(out.latents, oracle, atol=1e-6, rtol=0)
    for ours, expected in zip(slopes(quantizer, out.latents, latents), slopes(quantizer, oracle, latents), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_ibqs_code_has_the_largest_product_among_codes_of_one_norm() -> None:
    quantizer = IBQ(IBQConfig(50, 4))
    with torch.no_grad():
        quantizer.codebook.copy_(1.7 * F.normalize(quantizer.codebook, dim=-1))
    latents = torch.randn(100, 4)
    products = latents @ quantizer.codebook.T
    assert torch.equal(quantizer.to_codes(latents)[:, 0], products.argmax(-1))
    p = probabilities(latents, quantizer.codebook, 2.0)
    torch.testing.assert_close(p, products.softmax(-1), atol=1e-5, rtol=0)  # the softmax of the publication


def test_ibq_brings_codes_into_use_that_no_token_used() -> None:
    """Codes beside the latents: few are near any, and a gradient of used codes alone leaves the others there."""
    used = {}
    for name, quantizer in {
        "ibq": IBQ(IBQConfig(64, 2, temperature=0.1)),
        "vq": VQ(VQConfig(64, 2, learning="gradient")),
    }.items():
        torch.manual_seed(0)
        latents = torch.randn(512, 2)
        with torch.no_grad():
            quantizer.codebook.copy_(torch.randn(64, 2) * 0.3 + torch.tensor([2.0, 0.0]))
        optimizer = torch.optim.Adam([quantizer.codebook], lr=0.02)
        for _ in range(150):
            out = quantizer.quantize(latents)
            optimizer.zero_grad()
            (F.mse_loss(out.latents, latents) + out.losses["codebook"]).backward()
            optimizer.step()
        used[name] = len(quantizer.quantize(latents).codes.unique())
    assert used["ibq"] > 1.3 * used["vq"]


@pytest.mark.parametrize("mixture", ["mean", "top_k"])
def test_a_soft_latent_is_the_mixture_of_codes(mixture: str) -> None:
    quantizer, latents = soft(mixture, k=4), torch.randn(30, 3, requires_grad=True)
    p = probabilities(latents, quantizer.codebook, 0.5)
    if mixture == "top_k":
        p = F.normalize(p.masked_fill(p < p.topk(4).values[:, -1:], 0), p=1, dim=-1)
    decoded, oracle = quantizer.quantize(latents).latents, p @ quantizer.codebook
    torch.testing.assert_close(decoded, oracle, atol=1e-5, rtol=0)
    for ours, expected in zip(slopes(quantizer, decoded, latents), slopes(quantizer, oracle, latents), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mixture", ["mean", "gumbel", "top_k"])
def test_hard_mixtures_decode_codes_with_the_gradient_of_the_soft_ones(mixture: str) -> None:
    hard, latents = soft(mixture, hard=True), torch.randn(30, 3, requires_grad=True)
    mixed = soft(mixture)
    mixed.load_state_dict(hard.state_dict())
    torch.manual_seed(1)
    out = hard.quantize(latents)
    assert torch.equal(out.latents, hard.to_latents(out.codes))
    torch.manual_seed(1)
    soft_slope, _ = slopes(mixed, mixed.quantize(latents).latents, latents)
    torch.testing.assert_close(slopes(hard, out.latents, latents)[0], soft_slope, atol=1e-5, rtol=1e-4)


def test_equal_seeds_give_equal_noise_in_both_passes_and_others_do_not() -> None:
    quantizer, latents = soft("gumbel"), torch.randn(30, 3, requires_grad=True)

    def passes(seed: int) -> tuple[Tensor, ...]:
        torch.manual_seed(seed)
        decoded = quantizer.quantize(latents).latents
        torch.rand(7)  # what happens between the passes does not matter
        return decoded, *slopes(quantizer, decoded, latents)

    first, again, other = passes(3), passes(3), passes(4)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


@pytest.mark.parametrize("mixture", ["mean", "top_k"])
def test_near_temperature_zero_the_mixture_is_the_nearest_code(mixture: str) -> None:
    quantizer, latents = soft(mixture, start=1e-6), torch.randn(30, 3)
    out = quantizer.quantize(latents)
    torch.testing.assert_close(out.latents, quantizer.to_latents(out.codes), atol=1e-4, rtol=0)
    assert out.metrics["soft_hard_gap"] < 1e-6


def test_near_temperature_zero_gumbel_mixtures_are_samples_of_single_codes() -> None:
    quantizer, latents = soft("gumbel", start=1e-4), torch.zeros(20_000, 3)
    decoded = quantizer.quantize(latents).latents.detach()
    distances = torch.cdist(decoded, quantizer.codebook.detach())
    assert (distances.min(-1).values < 1e-2).float().mean() > 0.99
    shares = torch.bincount(distances.argmin(-1), minlength=20) / len(latents)
    torch.testing.assert_close(shares, probabilities(latents[0], quantizer.codebook.detach(), 1.0), atol=0.02, rtol=0)


def test_the_temperature_depends_on_the_step_alone() -> None:
    quantizer = soft("mean", start=2.0)
    assert quantizer.quantize(torch.randn(5, 3)).metrics["temperature"] == 2.0
    quantizer.set_step(50)
    early = quantizer.quantize(torch.randn(5, 3)).metrics["temperature"]
    assert early == pytest.approx(2 / math.sqrt(100))
    quantizer.set_step(1000)
    assert quantizer.quantize(torch.randn(5, 3)).metrics["temperature"] == pytest.approx(0.02)
    quantizer.set_step(50)
    assert quantizer.quantize(torch.randn(5, 3)).metrics["temperature"] == early
    assert "temperature" not in quantizer.state_dict()
    whole = SoftVQ(
        SoftVQConfig(3, 3, Anneal(1, 0.5, steps=10))
    )  # fewer codes than `k`, which it does not use; whole numbers in Python
    whole.set_step(10)
    assert whole.temperature == 0.5


def test_the_gap_shrinks_with_the_temperature_and_has_no_scale() -> None:
    quantizer, latents = soft("mean"), torch.randn(200, 3)
    gaps = []
    for step in (0, 40, 90):
        quantizer.set_step(step)
        gaps.append(quantizer.quantize(latents).metrics["soft_hard_gap"])
    assert gaps[0] > gaps[1] > gaps[2] > 0
    larger = soft("mean", start=50.0)  # ten times the distances, a hundred times their squares
    larger.load_state_dict({"codebook": 10 * quantizer.codebook.detach()})
    torch.testing.assert_close(larger.quantize(10 * latents).metrics["soft_hard_gap"], gaps[0], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_where_the_codebook_is_not_trained_the_decoder_gets_codes(frozen: bool) -> None:
    quantizer, latents = soft("gumbel"), torch.randn(30, 3, requires_grad=True)
    if frozen:
        quantizer.requires_grad_(False)
    else:
        quantizer.eval()
    out = quantizer.quantize(latents)
    assert torch.equal(out.latents, quantizer.to_latents(out.codes))
    assert out.metrics["soft_hard_gap"] == 0


@pytest.mark.parametrize("name", MIXED)
def test_many_small_blocks_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer = make_quantizer(FAMILIES[name])
    latents = torch.randn(40, quantizer.dim, requires_grad=True)

    def passes() -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        decoded = quantizer.quantize(latents).latents
        return decoded, *slopes(quantizer, decoded, latents)  # type: ignore[arg-type]

    whole = passes()
    monkeypatch.setattr("tokenizer.quantize.assignment.BLOCK_SIZE", 3 * quantizer.codebooks[0])
    for ours, expected in zip(passes(), whole, strict=True):
        torch.testing.assert_close(ours, expected, atol=5e-4, rtol=1e-3)  # sums in another order, in float32


def test_index_backpropagation_against_a_public_library() -> None:
    """Their straight-through choice of a learned code by product; among codes of norm 1 ours at temperature 2."""
    library = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    choice = partial(library.gumbel_sample, straight_through=True, stochastic=False)
    learned = {"learnable_codebook": True, "ema_update": False, "use_cosine_sim": True, "threshold_ema_dead_code": 0}
    theirs = library.Codebook(3, 20, **learned, gumbel_sample=choice).train()
    ours = IBQ(IBQConfig(20, 3, temperature=2.0))
    ours.load_state_dict({"codebook": theirs.embed[0].detach()})
    latents = F.normalize(torch.randn(1, 30, 3), dim=-1).requires_grad_()
    out, (decoded, ids, _) = ours.quantize(latents), theirs(latents)
    assert torch.equal(out.codes[..., 0], ids)
    torch.testing.assert_close(out.latents, decoded, atol=1e-5, rtol=0)
    weights = torch.randn_like(decoded)
    mine = torch.autograd.grad((out.latents * weights).sum(), (latents, ours.codebook))
    (of_latents, of_codes) = torch.autograd.grad((decoded * weights).sum(), (latents, theirs.embed))
    torch.testing.assert_close(mine[0], of_latents, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        tangent(mine[1], ours.codebook), tangent(of_codes[0], ours.codebook), atol=1e-5, rtol=1e-4
    )


def tangent(slopes_VD: Tensor, codes_VD: Tensor) -> Tensor:
    """Without the part along each code, which on the sphere moves nothing."""
    return slopes_VD - (slopes_VD * codes_VD).sum(-1, keepdim=True) * codes_VD


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        (IBQConfig(20, 3), {"temperature": 0.0}),
        (IBQConfig(20, 3), {"commitment_weight": -1.0}),
        (IBQConfig(20, 3), {"first_samples": 7}),
        (IBQConfig(20, 3), {"size": 1}),
        (SoftVQConfig(20, 3, Anneal(1, 0.1, 10)), {"temperature": Anneal(0.1, 1.0, 10)}),
        (SoftVQConfig(20, 3, Anneal(1, 0.1, 10)), {"temperature": Anneal(1.0, 0.0, 10, "linear")}),
        (SoftVQConfig(20, 3, Anneal(1, 0.1, 10), "top_k"), {"k": 21}),
        (SoftVQConfig(20, 3, Anneal(1, 0.1, 10)), {"commitment_weight": -1.0}),
    ],
)
def test_impossible_settings_are_refused_by_name(config: IBQConfig | SoftVQConfig, changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(changed))}"):
        replace(config, **changed)  # type: ignore[arg-type]


def test_k_matters_only_to_its_mixture() -> None:
    assert SoftVQConfig(2, 3, Anneal(1, 0.1, 10)).size == 2, "fewer codes than k has by default"
