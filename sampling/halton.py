"""A fixed order of the places of a grid in which the first n are spread evenly, for every n.

Halton's sequence in bases 2 (rows) and 3 (columns), each place where the sequence first comes to it. Published for
masked image models as Besnier et al., "Halton scheduler for masked generative image transformer" (2025).
"""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def halton_ranks(height: int, width: int, device: torch.device) -> Tensor:
    """int64 [height, width], kept and shared: when each place's turn is, 0 first."""
    twos, threes = power_above(2, height), power_above(3, width)
    number = torch.arange(twos * threes)  # by the Chinese remainders, these come to every place
    rows, columns = along(number, 2, height), along(number, 3, width)
    first = torch.full((height * width,), len(number))
    first.scatter_reduce_(0, rows * width + columns, number, "amin")
    return first.argsort().argsort().view(height, width).to(device)


def along(number: Tensor, base: int, size: int) -> Tensor:
    """The point [0, 1) whose digits are those of the number in reverse, as one of `size` cells, exactly."""
    reverse, unit = torch.zeros_like(number), 1
    while unit < len(number):
        reverse, number, unit = reverse * base + number % base, number // base, unit * base
    return reverse * size // unit


def power_above(base: int, size: int) -> int:
    """The least power of which two fit into each of `size` cells, so that one lies wholly inside."""
    power = 1
    while power < 2 * size:
        power *= base
    return power
