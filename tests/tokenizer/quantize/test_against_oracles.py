"""Each family against a slow description of itself, and against a public library written by others."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.tokenizer.quantize.families import FSQ_64000, all_tokens, bsq, lfq
from tokenizer.quantize import BSQ, FSQ, LFQ, FSQConfig, Quantizer
from tokenizer.quantize.usage import table_entries


def fsq_oracle(z: list[float], levels: tuple[int, ...]) -> tuple[int, list[float]]:
    """The number of the token among all, and its latent."""
    number, latent, radix = 0, [], 1
    for value, level in zip(z, levels, strict=True):
        middles = [(2 * i + 1) / level - 1 for i in range(level)]
        nearest = min(range(level), key=lambda i: abs(middles[i] - math.tanh(value)))
        number, radix = number + radix * nearest, radix * level
        latent.append(middles[nearest])
    return number, latent


def numbers(codes: Tensor, quantizer: Quantizer) -> Tensor:
    """The number of each token among all, the first code fastest."""
    (entries,) = table_entries(codes, quantizer.codebooks)
    return entries


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (8, 8, 8, 5, 5, 5), (2,), (3, 4)])
def test_fsq_is_its_oracle(levels: tuple[int, ...]) -> None:
    quantizer, latents = FSQ(FSQConfig(levels=levels)), torch.randn(300, len(levels)) * 2
    out = quantizer.quantize(latents)
    given = zip(latents.tolist(), numbers(out.codes, quantizer).tolist(), out.latents.tolist(), strict=True)
    for z, number, latent in given:
        expected_number, expected_latent = fsq_oracle(z, levels)
        assert number == expected_number
        assert latent == pytest.approx(expected_latent, abs=1e-6)


def test_fsq_is_symmetric_and_even_where_latents_are() -> None:
    latents = torch.atanh(torch.linspace(-1, 1, 40_001, dtype=torch.float64)[1:-1]).unsqueeze(-1)
    for level in (4, 5, 8):
        quantizer = FSQ(FSQConfig(levels=(level,)))
        mirrored = quantizer.quantize(-latents).codes.flip(0)  # the same points again, in the other direction
        assert (mirrored - quantizer.quantize(latents).codes).abs().max() == 0
        used = torch.bincount(quantizer.quantize(latents).codes.flatten())
        assert used.max() - used.min() <= 2


@pytest.mark.parametrize("config", [lfq(6), bsq(6)])
def test_binary_codes_are_the_nearest_corners(config) -> None:  # type: ignore[no-untyped-def]
    quantizer = LFQ(config) if config.kind == "lfq" else BSQ(config)
    r = 1.0 if config.kind == "lfq" else 1 / math.sqrt(6)
    corners = torch.tensor([corner[::-1] for corner in itertools.product((-r, r), repeat=6)])  # the lowest bit first
    latents = torch.randn(300, 6)
    nearest = torch.cdist(quantizer.project(latents), corners).argmin(-1)
    codes = quantizer.quantize(latents).codes
    assert torch.equal(numbers(codes, quantizer), nearest)
    assert torch.allclose(quantizer.to_latents(codes), corners[nearest])


def test_fsq_against_a_public_library() -> None:
    """Theirs rounds on another grid; what must agree is how ids count through the levels."""
    library = pytest.importorskip("vector_quantize_pytorch")
    levels = FSQ_64000.levels
    theirs, ours = library.FSQ(list(levels)), FSQ(FSQ_64000)
    ids = torch.arange(64_000)
    digits_ND = theirs.indices_to_level_indices(ids)
    middles_ND = (2 * digits_ND + 1) / torch.tensor(levels) - 1
    assert torch.allclose(ours.to_latents(all_tokens(ours)), middles_ND.float(), atol=1e-6)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("bits", [4, 10])
def test_binary_families_against_a_public_library(bits: int, spherical: bool) -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    config = bsq(bits) if spherical else lfq(bits)
    ours = BSQ(config) if spherical else LFQ(config)  # type: ignore[arg-type]
    theirs = library.LFQ(
        dim=bits,
        codebook_size=2**bits,
        spherical=spherical,
        codebook_scale=1.0,
        entropy_loss_weight=1.0,
        commitment_loss_weight=0.0,
        diversity_gamma=config.batch_entropy_weight / config.sample_entropy_weight,
        experimental_softplus_entropy_loss=False,
    ).train()
    latents = torch.randn(2, 60, bits)
    mine, mine_leaf = leaf(latents)
    other, other_leaf = leaf(latents)
    out = ours.quantize(mine)
    codes, ids, loss = theirs(other, inv_temperature=config.sharpness)
    assert torch.equal(reversed_bits(ids, bits), numbers(out.codes, ours))  # theirs count from the highest bit
    assert torch.allclose(codes, out.latents, atol=1e-5)
    entropies = (out.losses["sample_entropy"] + out.losses["batch_entropy"]) / config.sample_entropy_weight
    torch.testing.assert_close(entropies, loss.to(entropies.dtype), atol=1e-4, rtol=1e-4)
    (mine_slope,) = torch.autograd.grad(entropies, mine_leaf)
    (other_slope,) = torch.autograd.grad(loss, other_leaf)
    # Theirs takes no logarithm of less than 1e-5, which bends the gradient of improbable codes a little.
    assert (mine_slope - other_slope).norm() <= 0.02 * mine_slope.norm()


def leaf(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    return x, x


def reversed_bits(ids: Tensor, bits: int) -> Tensor:
    return sum((ids >> i & 1) << (bits - 1 - i) for i in range(bits))  # type: ignore[return-value]
