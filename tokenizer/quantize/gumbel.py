"""Gumbel noise that can be made again: each number is a hash of its token's seed and its code's number.

A generator would have to be rewound to give the same noise twice, and to know its seed a GPU would be waited for.
The same seeds give the same noise in any split of the tokens into blocks, on any device.

Legend: N tokens, V codes.
"""

import torch
from torch import Tensor

# Steele et al., "Fast Splittable Pseudorandom Number Generators" (2014): the odd step of their counter and the two
# multipliers of their mixing function, as signed integers of 64 bits. Products wrap around.
STEP, FIRST, SECOND = (number - 2**64 for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
BITS = 23  # of a uniform number: with the half that keeps it off 0 and 1, what float32 holds exactly


def gumbel_noise(seeds_N1: Tensor, size: int) -> Tensor:
    """float32 [N, V]: independent standard Gumbel numbers, -log(-log(uniform)); seeds int64 [N, 1]."""
    return uniform_noise(seeds_N1, size).log_().neg_().log_().neg_()


def uniform_noise(seeds_N1: Tensor, size: int) -> Tensor:
    """float32 [N, V], strictly between 0 and 1."""
    state_NV = seeds_N1 + torch.arange(1, size + 1, device=seeds_N1.device) * STEP
    state_NV.bitwise_xor_(state_NV >> 30).mul_(FIRST)
    state_NV.bitwise_xor_(state_NV >> 27).mul_(SECOND)
    state_NV >>= 64 - BITS  # the highest bits are mixed best; from -half to half, because integers are signed
    return state_NV.float().add_(2 ** (BITS - 1) + 0.5).mul_(2.0**-BITS)
