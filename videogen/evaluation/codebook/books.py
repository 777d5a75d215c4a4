"""The codes of each quantizer of a tokenizer, where they lie, and how often they were used.

Legend: V codes that are looked at, D numbers each, M latents.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videogen.evaluation.codebook.geometry import nearest_other, quantiles
from videogen.evaluation.codebook.parts import CodebookPart
from videogen.evaluation.codebook.survey import CodeSurvey, SeenLatents
from videogen.evaluation.codebook.usage import PartUsage

MOST_CODES = 1 << 16  # of a codebook that is looked at as a whole


@dataclass(frozen=True, eq=False)
class Book:
    """A quantizer without parts. Of a larger codebook than `MOST_CODES` only codes that were seen, most used first."""

    name: str
    part: CodebookPart  # where a token has its codes, or where it has them first
    entries_V: Tensor
    vectors_VD: Tensor
    counts_V: Tensor | None  # None without data
    seen: SeenLatents | None

    @property
    def whole(self) -> bool:
        return len(self.entries_V) == self.part.size

    @property
    def code_distances(self) -> Tensor | None:
        return nearest_other(self.vectors_VD) if self.whole else None

    @property
    def latent_distances(self) -> Tensor | None:
        return None if self.seen is None else (self.seen.latents_MD - self.seen.quantized_MD).norm(dim=1)

    def most_used(self, most: int) -> Tensor:
        """Places in `entries_V` of the most used codes; without data of the first ones."""
        if self.counts_V is None:
            return torch.arange(min(most, len(self.entries_V)))
        return self.counts_V.argsort(descending=True, stable=True)[:most]

    def figures(self) -> dict[str, Any]:
        code, latent = self.code_distances, self.latent_distances
        return {
            "name": self.name,
            "codes": self.part.size,
            "dim": self.vectors_VD.shape[1],
            "distance_to_nearest_code": None if code is None else quantiles(code),
            "distance_of_latents_to_codes": None if latent is None else quantiles(latent),
            "same_place": None if code is None else int((code == 0).sum()),
        }


def books_of(
    parts: tuple[CodebookPart, ...], usages: tuple[PartUsage, ...], survey: CodeSurvey | None
) -> tuple[Book, ...]:
    """One for each quantizer; of one that several parts share, the counts are sums over these parts."""
    books = []
    for leaf in dict.fromkeys(part.leaf for part in parts if part.leaf is not None):
        own = [number for number, part in enumerate(parts) if part.leaf is leaf]
        part, name = parts[own[0]], " to ".join(dict.fromkeys((parts[own[0]].name, parts[own[-1]].name)))
        entries_V = _entries(part, [usages[number] for number in own] if usages else [])
        if len(entries_V) < 2:
            continue
        counts_V = sum((usages[number].counts_of(entries_V) for number in own), torch.zeros(1)) if usages else None
        seen = survey.seen.get(leaf) if survey is not None else None
        books.append(Book(name, part, entries_V, part.vectors(entries_V), counts_V, seen))
    return tuple(books)


def _entries(part: CodebookPart, usages: list[PartUsage]) -> Tensor:
    if part.size <= MOST_CODES:
        return torch.arange(part.size)
    if not usages:
        return torch.zeros(0, dtype=torch.int64)
    table = usages[0].table
    for usage in usages[1:]:
        table = table.joined(usage.table)
    return table.entries_U[table.counts_U.argsort(descending=True, stable=True)[:MOST_CODES]]
