"""Which codes a stream of ids uses, and how evenly."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Usage:
    """How often each code was seen; totals of several streams add up."""

    counts_V: Tensor  # int64 on the CPU

    @staticmethod
    def none(size: int) -> "Usage":
        return Usage(torch.zeros(size, dtype=torch.int64))

    def plus(self, ids_N: Tensor) -> "Usage":
        return Usage(self.counts_V + torch.bincount(ids_N.flatten().cpu(), minlength=len(self.counts_V)))

    @property
    def tokens(self) -> int:
        return int(self.counts_V.sum())

    @property
    def used(self) -> int:
        """How many codes were seen at least once."""
        return int((self.counts_V > 0).sum())

    @property
    def share(self) -> float:
        return self.used / len(self.counts_V)

    @property
    def dead(self) -> int:
        return len(self.counts_V) - self.used

    @property
    def reachable_share(self) -> float:
        """The share that so many tokens would use on average if all codes were drawn alike: what `share` can become."""
        return -math.expm1(self.tokens * math.log1p(-1 / len(self.counts_V))) if len(self.counts_V) > 1 else 1.0

    @property
    def perplexity(self) -> float:
        """The number of codes that, used evenly, would be as diverse: 1 to V; 0 before the first token."""
        if self.tokens == 0:
            return 0.0
        p = self.counts_V[self.counts_V > 0].double() / self.tokens
        return float(torch.exp(-(p * p.log()).sum()))
