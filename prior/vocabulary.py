"""Ids and their digits: a large vocabulary is predicted as a few small ones, the second digit given the first.

Digits run from the least significant on, as a mixed radix: with digits (512, 125) an id is d0 + 512 * d1. An id equal
to the size of the vocabulary is the mask.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_DIGIT = 16  # small tables see every row often: the same nats after half the steps of digits up to 1,024


@dataclass(frozen=True)
class Vocabulary:
    """Ids 0 .. size - 1, and `mask` = size."""

    digits: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.digits or min(self.digits) < 2:
            raise ValueError(f"digits = {self.digits}: expected one or more numbers of at least 2")

    @property
    def size(self) -> int:
        return math.prod(self.digits)

    @property
    def mask(self) -> int:
        return self.size

    def to_digits(self, ids: Tensor) -> Tensor:
        """int64 [...] to int64 [..., digits]; of the mask the digits are 0 and mean nothing."""
        rest = torch.where(ids == self.mask, 0, ids)
        digits = []
        for base in self.digits:
            digits.append(rest % base)
            rest = rest // base
        return torch.stack(digits, -1)

    def to_ids(self, digits: Tensor) -> Tensor:
        """int64 [..., digits] to int64 [...]."""
        ids = torch.zeros_like(digits[..., 0])
        for place in reversed(range(len(self.digits))):
            ids = ids * self.digits[place] + digits[..., place]
        return ids


def grouped(radices: Sequence[int], largest: int = LARGEST_DIGIT) -> tuple[int, ...]:
    """Digits out of a code's own radices (levels of FSQ, twos of LFQ), as few and as even as `largest` allows.

    Neighbouring radices are multiplied: eighteen twos give (4, 16, 16, 16, 16), (8, 8, 8, 5, 5, 5) stays what it is.
    """
    if not radices or min(radices) < 2:
        raise ValueError(f"radices = {tuple(radices)}: expected one or more numbers of at least 2")
    for count in range(1, len(radices) + 1):
        best = _most_even(tuple(radices), count)
        if max(best) <= largest:
            return best
    return tuple(radices)


@functools.cache
def _most_even(radices: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The cut into `count` runs whose largest product is smallest."""
    if count == 1:
        return (math.prod(radices),)
    cuts = range(1, len(radices) - count + 2)
    candidates = [(math.prod(radices[:cut]), *_most_even(radices[cut:], count - 1)) for cut in cuts]
    return min(candidates, key=lambda digits: (max(digits), digits))
