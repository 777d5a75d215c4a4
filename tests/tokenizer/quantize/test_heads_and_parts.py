"""Product, multi-head and dual quantization against slow descriptions of themselves."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.tokenizer.quantize.combinations import BY_GRADIENT, COMBINATIONS, EMA
from tokenizer.quantize import (
    VQ,
    Dual,
    DualConfig,
    MultiHead,
    MultiHeadConfig,
    Product,
    ProductConfig,
    Quantizer,
    VQConfig,
    make_quantizer,
)
from tokenizer.quantize.multi_head import linear, redundancy


def vq_of(quantizer: Quantizer, number: int = 0) -> VQ:
    leaf = quantizer.leaves[number]
    assert isinstance(leaf, VQ)
    return leaf


@pytest.mark.parametrize("shared", [False, True])
def test_groups_of_channels_are_quantized_on_their_own(shared: bool) -> None:
    quantizer = make_quantizer(ProductConfig(EMA, dim=12, groups=3, shared=shared))
    assert isinstance(quantizer, Product)
    assert len(quantizer.leaves) == (1 if shared else 3)
    latents = torch.randn(40, 12)
    out = quantizer.quantize(latents)
    for group in range(3):
        alone = vq_of(quantizer, 0 if shared else group).quantize(latents[:, 4 * group : 4 * group + 4])
        assert torch.equal(out.codes[:, group], alone.codes[:, 0])
        assert torch.equal(out.latents[:, 4 * group : 4 * group + 4], alone.latents)


@pytest.mark.parametrize(("dim", "heads"), [(6, 3), (12, 2), (4, 1), (16, 4)])
def test_the_way_back_undoes_the_views_at_first(dim: int, heads: int) -> None:
    quantizer = make_quantizer(MultiHeadConfig(BY_GRADIENT, dim, heads))
    assert isinstance(quantizer, MultiHead)
    there, back = quantizer.views.weight.detach(), quantizer.join.weight.detach()
    held = back @ there  # onto the channels that the views hold
    torch.testing.assert_close(held @ held, held, atol=1e-5, rtol=0)
    assert float(held.trace()) == pytest.approx(min(dim, 4 * heads), abs=1e-4)


@pytest.mark.parametrize(("rows", "dim"), [(6, 5), (7, 13), (3, 8)])
def test_a_map_gives_the_same_bits_in_any_row_and_layout(rows: int, dim: int) -> None:
    weight, latents, order = torch.randn(rows, dim), torch.randn(64, dim), torch.randperm(64)
    together = linear(latents, weight)
    assert torch.equal(linear(latents.T.contiguous().T, weight), together)
    assert torch.equal(linear(latents[order], weight), together[order])
    assert torch.equal(linear(latents[37], weight), together[37])
    torch.testing.assert_close(together, latents @ weight.T)


@pytest.mark.parametrize("combine", ["concatenate", "sum"])
def test_each_head_quantizes_its_view(combine: str) -> None:
    config = MultiHeadConfig(BY_GRADIENT, dim=6, heads=2, combine=combine)  # type: ignore[arg-type]
    quantizer = make_quantizer(config)
    assert isinstance(quantizer, MultiHead)
    latents = torch.randn(40, 6, requires_grad=True)
    out, views = quantizer.quantize(latents), latents @ quantizer.views.weight.T
    alone = [vq_of(quantizer, head).quantize(views[:, 4 * head : 4 * head + 4]) for head in range(2)]
    both = (
        torch.cat([each.latents for each in alone], -1)
        if combine == "concatenate"
        else sum(each.latents for each in alone)
    )
    assert torch.equal(out.codes, torch.cat([each.codes for each in alone], -1))
    torch.testing.assert_close(out.latents, both @ quantizer.join.weight.T)
    sources = [latents, quantizer.views.weight, quantizer.join.weight, *(leaf.codebook for leaf in quantizer.leaves)]
    slopes = torch.autograd.grad(out.latents.square().sum() + sum(out.losses.values()), sources)  # type: ignore[arg-type]
    assert all(bool(slope.any()) for slope in slopes), "gradients reach the encoder, both maps and all codebooks"


def test_redundancy_is_the_squared_correlation_of_different_heads() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(4000, 3), torch.randn(4000, 3)
    assert float(redundancy([one, other])) < 0.01
    assert float(redundancy([one[:, :1], 5 - 3 * one[:, :1]])) == pytest.approx(1, abs=1e-3)
    numbers = torch.corrcoef(torch.cat([one, one + other], 1).T)[:3, 3:]
    assert float(redundancy([one, one + other])) == pytest.approx(float(numbers.square().mean()), abs=1e-4)
    config = COMBINATIONS["multi-head"]
    assert isinstance(config, MultiHeadConfig)
    quantizer = make_quantizer(config)
    latents = torch.randn(50, 6, requires_grad=True)
    losses = quantizer.quantize(latents).losses
    views = (latents @ quantizer.views.weight.T).chunk(3, -1)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(losses["redundancy"], 0.1 * redundancy(views))
    assert torch.autograd.grad(losses["redundancy"], latents)[0].any()


def test_training_against_redundancy_makes_heads_differ() -> None:
    torch.manual_seed(0)
    quantizer = make_quantizer(replace(COMBINATIONS["multi-head"], heads=2, redundancy_weight=1.0))  # type: ignore[arg-type]
    latents = torch.randn(256, 6) @ torch.randn(6, 6)
    optimizer, values = torch.optim.Adam(quantizer.views.parameters(), lr=0.02), []  # type: ignore[union-attr]
    for _ in range(60):
        loss = quantizer.quantize(latents).losses["redundancy"]
        values.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] < 0.3 * values[0]


def dual(semantic_weight: float, config: VQConfig) -> Dual:
    torch.manual_seed(0)
    quantizer = make_quantizer(DualConfig(config, semantic_dim=2, semantic_weight=semantic_weight))
    assert isinstance(quantizer, Dual)
    return quantizer


def nearest_of_two(quantizer: Dual, latents: Tensor) -> Tensor:
    """argmin of w |s - s_c|^2 + |p - p_c|^2, written out over all codes."""
    all_codes = torch.arange(32)[:, None]
    semantic, pixel = quantizer.semantic(all_codes), quantizer.pixel(all_codes)
    assert semantic.shape == (32, 2)
    assert pixel.shape == (32, 4)
    distances = quantizer.config.semantic_weight * torch.cdist(latents[:, :2], semantic).square()
    return (distances + torch.cdist(latents[:, 2:], pixel).square()).argmin(-1)


@pytest.mark.parametrize("weight", [0.01, 1.0, 3.0, 100.0])
def test_one_index_weighs_two_distances(weight: float) -> None:
    quantizer, latents = dual(weight, VQConfig(32, 6)), torch.randn(200, 6)
    out = quantizer.quantize(latents)
    assert torch.equal(out.codes[:, 0], nearest_of_two(quantizer, latents))
    both = torch.cat([quantizer.semantic(out.codes), quantizer.pixel(out.codes)], -1)
    assert torch.equal(both, quantizer.to_latents(out.codes))


def test_moving_averages_of_both_parts_are_means_of_their_latents() -> None:
    quantizer = dual(4.0, VQConfig(32, 6, decay=0.0, smoothing=0.0))
    quantizer.begin_training()
    latents = torch.randn(300, 6)
    out = quantizer.quantize(latents)
    quantizer.update({**out.statistics, **out.samples})
    for code in out.codes[:, 0].unique().tolist():
        mean = latents[out.codes[:, 0] == code].mean(0)
        token = torch.tensor([code])
        torch.testing.assert_close(torch.cat([quantizer.semantic(token), quantizer.pixel(token)]), mean)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ProductConfig(EMA, dim=12, groups=0), "groups = 0 "),
        (lambda: ProductConfig(EMA, dim=13, groups=3), "groups = 3 do not divide the 13 channels"),
        (lambda: ProductConfig(EMA, dim=12, groups=2), "quantizer is a quantizer of 4 channels; 2 groups of 12 have 6"),
        (lambda: MultiHeadConfig(EMA, dim=4, heads=0), "heads = 0 "),
        (lambda: MultiHeadConfig(EMA, dim=4, heads=1, redundancy_weight=0.1), "redundancy_weight = 0.1 of one head"),
        (lambda: DualConfig(VQConfig(32, 6), semantic_dim=6), "semantic_dim = 6 must lie in 1 .. 5"),
        (lambda: DualConfig(VQConfig(32, 6), 2, semantic_weight=0), "semantic_weight = 0 "),
        (lambda: DualConfig(VQConfig(32, 6, distance="cosine"), 2), "quantizer has distance: cosine"),
    ],
)
def test_impossible_settings_are_refused_by_name(make, named) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"^{named}"):
        make()
