import pytest
import torch

from sampling.halton import halton_ranks

CPU = torch.device("cpu")


@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (5, 1), (2, 3), (4, 4), (8, 8), (9, 16), (16, 16), (7, 13), (32, 32)])
def test_every_position_has_a_rank(grid):
    ranks = halton_ranks(*grid, CPU)
    assert ranks.shape == grid
    assert torch.equal(ranks.flatten().sort().values, torch.arange(grid[0] * grid[1]))


def test_the_first_positions_are_those_of_the_halton_sequence():
    """Numbers 0 to 5: rows 0, 1/2, 1/4, 3/4, 1/8, 5/8 of 8, columns 0, 1/3, 2/3, 1/9, 4/9, 7/9 of 9."""
    order = halton_ranks(8, 9, CPU).flatten().argsort()[:6]
    assert [divmod(int(place), 9) for place in order] == [(0, 0), (4, 3), (2, 6), (6, 1), (1, 4), (5, 7)]


@pytest.mark.parametrize("grid", [(8, 8), (16, 16), (16, 28)])
@pytest.mark.parametrize("share", [1 / 8, 1 / 4, 1 / 2])
def test_the_first_positions_are_spread_evenly(grid, share):
    """The quarters of the grid have nearly the same number of positions, and fewer are adjacent than in random orders:
    adjacent tokens of one step are sampled independently."""
    tokens = grid[0] * grid[1]

    def first(ranks: torch.Tensor) -> torch.Tensor:
        return ranks < share * tokens

    def adjacent_pairs(chosen: torch.Tensor) -> int:
        return int((chosen[1:] & chosen[:-1]).sum() + (chosen[:, 1:] & chosen[:, :-1]).sum())

    chosen = first(halton_ranks(*grid, CPU))
    quarters = chosen.view(2, grid[0] // 2, 2, grid[1] // 2).sum((1, 3))
    generator = torch.Generator().manual_seed(0)
    random_orders = [adjacent_pairs(first(torch.randperm(tokens, generator=generator).view(grid))) for _ in range(200)]
    assert quarters.max() - quarters.min() <= 2
    assert adjacent_pairs(chosen) < min(random_orders) or adjacent_pairs(chosen) == 0


def test_the_ranks_are_cached():
    assert halton_ranks(8, 8, CPU) is halton_ranks(8, 8, CPU)
