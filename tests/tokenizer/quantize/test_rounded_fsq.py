"""Rounded FSQ against its definition, and against a public library written by others."""

import math

import pytest
import torch

from tests.tokenizer.quantize.families import all_tokens
from tokenizer.quantize import FSQ, FSQConfig, RoundedFSQ, RoundedFSQConfig
from tokenizer.quantize.usage import table_entries

COSMOS = (8, 8, 8, 5, 5, 5)


def rounded(*levels: int) -> RoundedFSQ:
    return RoundedFSQ(RoundedFSQConfig(levels=levels))


def bounded(z: float, level: int) -> float:
    """The published formula, before rounding."""
    reach = (level - 1) * (1 + 1e-3) / 2
    offset = 0.0 if level % 2 else 0.5
    return math.tanh(z + math.atanh(offset / reach)) * reach - offset


@pytest.mark.parametrize("level", [*range(2, 10), 16, 63, 64])
def test_it_is_its_formula_over_a_fine_grid(level: int) -> None:
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64).unsqueeze(-1)
    out = rounded(level).quantize(grid)
    expected = [round(bounded(z, level)) for z in grid.flatten().tolist()]
    assert out.codes.flatten().tolist() == [number + level // 2 for number in expected]
    assert out.latents.flatten().tolist() == pytest.approx([number / (level // 2) for number in expected], abs=1e-7)
    assert out.codes.unique().numel() == level


@pytest.mark.parametrize("level", range(2, 10))
def test_a_latent_of_zero_stays_zero(level: int) -> None:
    assert rounded(level).quantize(torch.zeros(1)).latents.abs().item() < 1e-6


def test_the_gradient_is_that_of_the_formula() -> None:
    grid = torch.linspace(-2, 2, 41, dtype=torch.float64)
    for level in (4, 5, 8):
        latents = grid.clone().unsqueeze(-1).requires_grad_()
        (slope,) = torch.autograd.grad(rounded(level).quantize(latents).latents.sum(), latents)
        step = 1e-6
        values = [bounded(z + step, level) - bounded(z - step, level) for z in grid.tolist()]
        expected = [value / (2 * step) / (level // 2) for value in values]
        assert slope.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_its_cells_are_not_those_of_fsq() -> None:
    latents = torch.randn(2000, 6)
    ours, theirs = FSQ(FSQConfig(levels=COSMOS)), rounded(*COSMOS)
    same = (ours.quantize(latents).codes == theirs.quantize(latents).codes).all(-1).float().mean()
    assert same < 0.2


def test_it_is_that_of_a_public_library() -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    theirs, ours = library.FSQ(list(COSMOS), preserve_symmetry=False), rounded(*COSMOS)
    latents = torch.randn(1, 2000, 6) * 1.5
    values, ids = theirs(latents)
    out = ours.quantize(latents)
    assert torch.equal(table_entries(out.codes, ours.codebooks)[0], ids.long())
    torch.testing.assert_close(out.latents, values, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.to_latents(all_tokens(ours)), theirs.indices_to_codes(torch.arange(64_000)))


def test_impossible_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^levels = "):
        RoundedFSQConfig(levels=(8, 1))
