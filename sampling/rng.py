"""Counter-based random numbers: the same seed, frame, purpose and place give the same number, whatever else is drawn.

So sample i of a batch draws what it would draw alone, the seed and the frame number restore a stream's randomness, and
no device or order of calls changes it. The numbers are those of splitmix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", 2014) used as a hash of where they stand. torch's own generators would have
to be seeded for each sample and frame, and on a CPU look at 32 bits of a seed only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Purpose = Literal["codes", "order", "noise"]
PURPOSES: dict[Purpose, int] = {"codes": 0, "order": 1, "noise": 2}
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
WORD, FINE = 64, 32


@dataclass(frozen=True)
class CounterRNG:
    """The random numbers of one latent frame of each stream of a batch."""

    keys_B: Tensor  # int64

    def uniforms(self, purpose: Purpose, step: int, *shape: int) -> Tensor:
        """float64 [B, *shape] above 0 and below 1, by multiples of 2^-33; a number does not depend on the shape."""
        keys = below(below(self.keys_B, PURPOSES[purpose]), step)
        for size in shape:
            places = torch.arange(1, size + 1, device=keys.device)
            keys = mixed(keys.unsqueeze(-1) + places * signed(GOLDEN))
        return (shifted(keys, WORD - FINE).double() + 0.5) * 2.0**-FINE

    def gumbels(self, purpose: Purpose, step: int, *shape: int) -> Tensor:
        """float64 [B, *shape]: the largest of (log-weight + Gumbel noise) is a draw by weight."""
        return -(-self.uniforms(purpose, step, *shape).log()).log()


@dataclass(frozen=True)
class StepRNG:
    """The random numbers of some tokens of a group at one step: keeps the promise of `interfaces.prior.TokenRNG`."""

    rng: CounterRNG
    step: int
    shape: tuple[int, ...]  # of the group
    places_BM: Tensor  # tokens of the group

    def uniforms(self, count: int) -> Tensor:
        return self.at_places(self.rng.uniforms("codes", self.step, *self.shape, count))

    def normals(self, count: int) -> Tensor:
        """By the method of Box and Muller: two uniform numbers make a pair."""
        pairs = -(-count // 2)
        radius, angle = self.at_places(self.rng.uniforms("noise", self.step, *self.shape, 2 * pairs)).chunk(2, -1)
        radius, angle = (-2 * radius.log()).sqrt(), 2 * math.pi * angle
        return torch.cat([radius * angle.cos(), radius * angle.sin()], -1)[..., :count]

    def at_places(self, numbers: Tensor) -> Tensor:
        """[B, *shape, count] to [B, M, count]."""
        numbers_BNK = numbers.flatten(1, -2)
        return numbers_BNK.gather(1, self.places_BM.unsqueeze(-1).expand(-1, -1, numbers_BNK.shape[-1]))


def counter_rng(seeds: Sequence[int], frame: int, device: torch.device | str = "cpu") -> CounterRNG:
    """Of latent frame number `frame` of the streams with these seeds; the lowest 64 bits of a seed count."""
    seeds_B = torch.tensor([signed(seed) for seed in seeds], dtype=torch.int64, device=device)
    return CounterRNG(below(mixed(seeds_B), frame))


def below(keys: Tensor, number: int) -> Tensor:
    """int64: the keys of number `number` (from 0) of what lies one level below these."""
    return mixed(keys + signed((number + 1) * GOLDEN))


def mixed(z: Tensor) -> Tensor:
    """A permutation of the 64-bit integers under which any change of one bit changes half of all; products wrap."""
    z = (z ^ shifted(z, 30)) * signed(FIRST)
    z = (z ^ shifted(z, 27)) * signed(SECOND)
    return z ^ shifted(z, 31)


def shifted(z: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in from the left: torch's own shift of int64 brings in the sign."""
    return (z >> places) & ((1 << (WORD - places)) - 1)


def signed(number: int) -> int:
    """The lowest 64 bits, as int64 has them."""
    low = number & ((1 << WORD) - 1)
    return low - (1 << WORD) if low >> (WORD - 1) else low
