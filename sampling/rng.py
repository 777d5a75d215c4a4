"""Counter-based random numbers: a function of seed, frame, purpose, step and token.

So a sample does not depend on its batch, a stream can be restored from its seed and frame number, and neither the
device nor the order of calls matters. The hash is splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", 2014). torch's generators would have to be seeded for each sample and frame, and on a CPU use only
32 bits of a seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Purpose = Literal["codes", "order", "noise", "mask"]
PURPOSES: dict[Purpose, int] = {"codes": 0, "order": 1, "noise": 2, "mask": 3}
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
WORD, FINE = 64, 32


@dataclass(frozen=True)
class CounterRNG:
    """The random numbers of one latent frame of each sample of a batch."""

    keys_B: Tensor  # int64

    def uniforms(self, purpose: Purpose, step: int, *shape: int) -> Tensor:
        """float64 [B, *shape], odd multiples of 2^-33 in (0, 1); a number depends on its index, not on the shape."""
        keys = child_keys(child_keys(self.keys_B, PURPOSES[purpose]), step)
        for size in shape:
            places = torch.arange(1, size + 1, device=keys.device)
            keys = mix(keys.unsqueeze(-1) + places * as_int64(GOLDEN))
        return (shift_right(keys, WORD - FINE).double() + 0.5) * 2.0**-FINE

    def gumbels(self, purpose: Purpose, step: int, *shape: int) -> Tensor:
        """float64 [B, *shape]: standard Gumbel noise."""
        return -(-self.uniforms(purpose, step, *shape).log()).log()

    def mask_noise(self, tokens: int, count: int) -> Tensor:
        """float64 [B, N, R]: standard normal numbers of the masked tokens of the latent frame."""
        return normals(self.uniforms("mask", 0, tokens, 2 * -(-count // 2)))[..., :count]


@dataclass(frozen=True)
class StepRNG:
    """The random numbers of some tokens of a group at one step; implements `interfaces.prior.TokenRNG`."""

    rng: CounterRNG
    step: int
    shape: tuple[int, ...]  # of the group
    positions_BM: Tensor  # tokens of the group

    def uniforms(self, count: int) -> Tensor:
        return self.at_positions(self.rng.uniforms("codes", self.step, *self.shape, count))

    def normals(self, count: int) -> Tensor:
        pairs = -(-count // 2)
        uniforms = self.rng.uniforms("noise", self.step, *self.shape, 2 * pairs)
        return normals(self.at_positions(uniforms))[..., :count]

    def at_positions(self, numbers: Tensor) -> Tensor:
        """[B, *shape, count] to [B, M, count]."""
        numbers_BNK = numbers.flatten(1, -2)
        return numbers_BNK.gather(1, self.positions_BM.unsqueeze(-1).expand(-1, -1, numbers_BNK.shape[-1]))


def normals(uniforms: Tensor) -> Tensor:
    """Standard normal numbers, from as many uniform ones [..., 2 n]: the Box-Muller transform."""
    radius, angle = uniforms.chunk(2, -1)
    radius, angle = (-2 * radius.log()).sqrt(), 2 * math.pi * angle
    return torch.cat([radius * angle.cos(), radius * angle.sin()], -1)


def counter_rng(seeds: Sequence[int], frame: int, device: torch.device | str = "cpu") -> CounterRNG:
    """The random numbers of latent frame number `frame` for these seeds; uses the lowest 64 bits of a seed."""
    seeds_B = torch.tensor([as_int64(seed) for seed in seeds], dtype=torch.int64, device=device)
    return CounterRNG(child_keys(mix(seeds_B), frame))


def child_keys(keys: Tensor, number: int) -> Tensor:
    """int64: the keys of child `number` (from 0) of these keys."""
    return mix(keys + as_int64((number + 1) * GOLDEN))


def mix(z: Tensor) -> Tensor:
    """The finalizer of splitmix64: a permutation of 64-bit integers; int64 products wrap."""
    z = (z ^ shift_right(z, 30)) * as_int64(FIRST)
    z = (z ^ shift_right(z, 27)) * as_int64(SECOND)
    return z ^ shift_right(z, 31)


def shift_right(z: Tensor, places: int) -> Tensor:
    """Logical shift: torch's `>>` of int64 is arithmetic."""
    return (z >> places) & ((1 << (WORD - places)) - 1)


def as_int64(number: int) -> int:
    """The lowest 64 bits as a signed integer."""
    low = number & ((1 << WORD) - 1)
    return low - (1 << WORD) if low >> (WORD - 1) else low
