"""Which codes a stream of ids uses, and how evenly."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Usage:
    """How often each code was seen; totals of several streams add up. Codes never seen take no memory.

    Legend: V codes, U of them seen.
    """

    size: int  # V
    codes_U: Tensor  # int64 on the CPU, in order, each once
    counts_U: Tensor  # int64 on the CPU, at least 1

    @staticmethod
    def none(size: int) -> "Usage":
        nothing = torch.zeros(0, dtype=torch.int64)
        return Usage(size, nothing, nothing)

    def plus(self, ids_N: Tensor) -> "Usage":
        codes, counts = torch.unique(ids_N.cpu(), return_counts=True)
        return self.joined(Usage(self.size, codes, counts))

    def joined(self, other: "Usage") -> "Usage":
        """What both have seen."""
        codes, places = torch.unique(torch.cat([self.codes_U, other.codes_U]), return_inverse=True)
        counts = torch.zeros_like(codes).index_add_(0, places, torch.cat([self.counts_U, other.counts_U]))
        return Usage(self.size, codes, counts)

    @property
    def tokens(self) -> int:
        return int(self.counts_U.sum())

    @property
    def used(self) -> int:
        """How many codes were seen at least once."""
        return len(self.codes_U)

    @property
    def share(self) -> float:
        return self.used / self.size

    @property
    def dead(self) -> int:
        return self.size - self.used

    @property
    def reachable_share(self) -> float:
        """The share that so many tokens would use on average if all codes were drawn alike: what `share` can become."""
        return -math.expm1(self.tokens * math.log1p(-1 / self.size)) if self.size > 1 else 1.0

    @property
    def perplexity(self) -> float:
        """The number of codes that, used evenly, would be as diverse: 1 to V; 0 before the first token."""
        if self.tokens == 0:
            return 0.0
        p = self.counts_U.double() / self.tokens
        return float(torch.exp(-(p * p.log()).sum()))
