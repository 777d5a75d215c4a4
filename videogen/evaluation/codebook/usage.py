"""Figures of use: which codes of a part, how evenly, and when.

Legend: C clips, T latent frames, N tokens of a latent frame, V entries of a table, U of them seen.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokenizer.quantize.usage import TableUsage
from videogen.evaluation.codebook.bits import conditional_bits, entropy_bits, size_bits
from videogen.evaluation.codebook.parts import CodebookPart

CHUNKS = 10  # successive pieces of the data


@dataclass(frozen=True, eq=False)
class PartUsage:
    """The use of one part by the tokens of a data set."""

    part: CodebookPart
    entries_CTN: Tensor
    table: TableUsage

    @staticmethod
    def of(part: CodebookPart, codes_CTNK: Tensor) -> "PartUsage":
        entries_CTN = part.entries(codes_CTNK)
        return PartUsage(part, entries_CTN, TableUsage(part.size, *torch.unique(entries_CTN, return_counts=True)))

    def figures(self) -> dict[str, Any]:
        table = self.table
        return {
            "name": self.part.name,
            "codes": table.size,
            "used": table.used,
            "dead": table.size - table.used,
            "code_use": table.share,
            "code_use_reachable": table.reachable_share,
            "most_common_share": int(table.counts_U.max()) / table.tokens,
            "perplexity": table.perplexity,
            "bits": size_bits(table.size),
            "entropy_bits": entropy_bits(table.counts_U),
            "conditional_entropy_bits": conditional_bits(self.entries_CTN),
        }

    def counts_of(self, entries_N: Tensor) -> Tensor:
        """How often each of these entries was seen."""
        places_N = torch.searchsorted(self.table.entries_U, entries_N).clamp_max(self.table.used - 1)
        return torch.where(self.table.entries_U[places_N] == entries_N, self.table.counts_U[places_N], 0)

    def share_by_position(self) -> list[float]:
        """For each latent frame of a clip, the share of entries that any clip uses there."""
        return [len(torch.unique(entries)) / self.part.size for entries in self.entries_CTN.unbind(1)]

    def share_by_chunk(self) -> tuple[list[float], list[float]]:
        """For successive chunks of clips, the share of entries in use in the chunk, and in all chunks so far."""
        chunks = self.entries_CTN.chunk(CHUNKS)
        within, so_far, known = [], [], torch.zeros(0, dtype=torch.int64)
        for chunk in chunks:
            seen = torch.unique(chunk)
            known = torch.unique(torch.cat([known, seen]))
            within.append(len(seen) / self.part.size)
            so_far.append(len(known) / self.part.size)
        return within, so_far


def usage_histogram(tables: list[TableUsage]) -> tuple[list[str], list[int]]:
    """How many codes were seen how often, in doubling ranges, over all tables: the ranges' names and the numbers."""
    counts = torch.cat([table.counts_U for table in tables])
    dead = sum(table.size - table.used for table in tables)
    powers = counts.double().log2().floor().long() if len(counts) else counts
    numbers = torch.bincount(powers).tolist()
    names = ["never", *(_range(2**power, 2 ** (power + 1) - 1) for power in range(len(numbers)))]
    return names, [dead, *numbers]


def _range(low: int, high: int) -> str:
    return "once" if low == high else f"{_short(low)}+"


def _short(number: int) -> str:
    return f"{number}" if number < 1024 else f"{number // 1024}k" if number < 1 << 20 else f"{number >> 20}M"
