"""A fixed order of the positions of a grid in which the first n are spread evenly, for every n.

The Halton sequence in bases 2 (rows) and 3 (columns), without repeated positions. Published for
masked image models as Besnier et al., "Halton scheduler for masked generative image transformer" (2025).
"""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def halton_ranks(height: int, width: int, device: torch.device) -> Tensor:
    """int64 [height, width]: the rank of each position, from 0. Cached: do not mutate it."""
    twos, threes = power_above(2, height), power_above(3, width)
    number = torch.arange(twos * threes)  # by the Chinese remainder theorem, these reach every position
    rows, columns = halton_cells(number, 2, height), halton_cells(number, 3, width)
    first = torch.full((height * width,), len(number))
    first.scatter_reduce_(0, rows * width + columns, number, "amin")
    return first.argsort().argsort().view(height, width).to(device)


def halton_cells(number: Tensor, base: int, size: int) -> Tensor:
    """The radical inverse of each number, a point in [0, 1), as one of `size` cells; exact integer arithmetic."""
    reverse, unit = torch.zeros_like(number), 1
    while unit < len(number):
        reverse, number, unit = reverse * base + number % base, number // base, unit * base
    return reverse * size // unit


def power_above(base: int, size: int) -> int:
    """The smallest power of `base` that is at least 2 * size: an interval of 1 / power lies inside each cell."""
    power = 1
    while power < 2 * size:
        power *= base
    return power
