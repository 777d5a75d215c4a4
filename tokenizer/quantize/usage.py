"""Which codes a stream of tokens uses, and how evenly.

Where the product of the codebook sizes fits in an int64, whole tokens are counted: a token's K codes together are one
entry of a table of all tokens. Otherwise each codebook is counted on its own, and shares and perplexities are means
over the codebooks. Continuous tokens have no codes: of them only the number is known, and `figures` has none.

Legend: N tokens, K codes of a token, V entries of a table, U of them seen.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def table_sizes(codebooks: Sequence[int]) -> tuple[int, ...]:
    """The sizes of what is counted: one table of whole tokens, or a table for each codebook."""
    size = math.prod(codebooks)
    return (size,) if codebooks and size < 2**63 else tuple(codebooks)


def table_entries(codes_NK: Tensor, codebooks: Sequence[int]) -> tuple[Tensor, ...]:
    """For each table the entries int64 [N..] that these tokens stand for."""
    if table_sizes(codebooks) == tuple(codebooks):
        return codes_NK.unbind(-1) if codebooks else ()
    entries_N = torch.zeros_like(codes_NK[..., 0])
    for place in reversed(range(len(codebooks))):
        entries_N = entries_N * codebooks[place] + codes_NK[..., place]
    return (entries_N,)


def batch_figures(codes_NK: Tensor, codebooks: Sequence[int]) -> dict[str, Tensor]:
    """`perplexity` of these tokens alone, see `batch_perplexity`; nothing of continuous tokens."""
    return {"perplexity": batch_perplexity(codes_NK, codebooks)} if codebooks else {}


def batch_perplexity(codes_NK: Tensor, codebooks: Sequence[int]) -> Tensor:
    """The perplexity of these tokens alone, as a scalar on their device: no table and no waiting for the device."""
    tables = [_perplexity_of(entries_N) for entries_N in table_entries(codes_NK, codebooks)]
    return torch.stack(tables).mean()


def _perplexity_of(entries_N: Tensor) -> Tensor:
    ordered = entries_N.flatten().sort().values
    counts = torch.searchsorted(ordered, ordered, right=True) - torch.searchsorted(ordered, ordered)
    return (-(counts / len(ordered)).log().mean()).exp()


@dataclass(frozen=True)
class TableUsage:
    """How often each entry of one table was seen. Entries never seen take no memory."""

    size: int  # V
    entries_U: Tensor  # int64 on the CPU, in order, each once
    counts_U: Tensor  # int64 on the CPU, at least 1

    def joined(self, other: "TableUsage") -> "TableUsage":
        entries, places = torch.unique(torch.cat([self.entries_U, other.entries_U]), return_inverse=True)
        counts = torch.zeros_like(entries).index_add_(0, places, torch.cat([self.counts_U, other.counts_U]))
        return TableUsage(self.size, entries, counts)

    @property
    def tokens(self) -> int:
        return int(self.counts_U.sum())

    @property
    def used(self) -> int:
        return len(self.entries_U)

    @property
    def share(self) -> float:
        return self.used / self.size

    @property
    def reachable_share(self) -> float:
        return -math.expm1(self.tokens * math.log1p(-1 / self.size)) if self.size > 1 else 1.0

    @property
    def perplexity(self) -> float:
        if self.tokens == 0:
            return 0.0
        p = self.counts_U.double() / self.tokens
        return float(torch.exp(-(p * p.log()).sum()))


@dataclass(frozen=True)
class Usage:
    """The use of all codes by a stream of tokens; usages of several streams add up."""

    codebooks: tuple[int, ...]
    tables: tuple[TableUsage, ...]
    tokens: int = 0

    @staticmethod
    def none(codebooks: Sequence[int]) -> "Usage":
        nothing = torch.zeros(0, dtype=torch.int64)
        return Usage(tuple(codebooks), tuple(TableUsage(size, nothing, nothing) for size in table_sizes(codebooks)))

    def plus(self, codes_NK: Tensor) -> "Usage":
        """With these tokens, codes [N.., K], as well."""
        seen = (torch.unique(entries, return_counts=True) for entries in table_entries(codes_NK.cpu(), self.codebooks))
        tables = (TableUsage(size, *each) for size, each in zip(table_sizes(self.codebooks), seen, strict=True))
        return self.joined(Usage(self.codebooks, tuple(tables), codes_NK.shape[:-1].numel()))

    def joined(self, other: "Usage") -> "Usage":
        """What both have seen."""
        pairs = zip(self.tables, other.tables, strict=True)
        tables = tuple(mine.joined(theirs) for mine, theirs in pairs)
        return Usage(self.codebooks, tables, self.tokens + other.tokens)

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return sum(table.size for table in self.tables)

    @property
    def used(self) -> int:
        """How many entries were seen at least once."""
        return sum(table.used for table in self.tables)

    @property
    def dead(self) -> int:
        """How many entries were never seen."""
        return self.entries - self.used

    @property
    def share(self) -> float:
        """The share of entries that were seen at least once."""
        return self._mean(lambda table: table.share)

    @property
    def reachable_share(self) -> float:
        """The share that so many tokens would use on average if all entries were equally likely: the most to expect."""
        return self._mean(lambda table: table.reachable_share)

    @property
    def perplexity(self) -> float:
        """The number of entries that, used evenly, would be as diverse: 1 to V; 0 before the first token."""
        return self._mean(lambda table: table.perplexity)

    def figures(self) -> dict[str, float]:
        """What reports say of codes, by name; nothing of continuous tokens."""
        if not self.tables:
            return {}
        return {
            "code_use": self.share,
            "code_use_reachable": self.reachable_share,
            "perplexity": self.perplexity,
        }

    def _mean(self, number: Callable[[TableUsage], float]) -> float:
        return sum(map(number, self.tables)) / len(self.tables) if self.tables else math.nan
