"""The codebooks of a tokenizer: each quantizer without parts is counted in a table of its own.

Legend: N.. any leading dimensions, K codes of a token, V entries of a table.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.usage import table_entries, table_sizes


@dataclass(frozen=True, eq=False)
class CodebookPart:
    """Neighboring codes of a token that are counted together: those of one quantizer, or a single code."""

    name: str
    places: slice  # among the K codes
    codebooks: tuple[int, ...]
    leaf: Quantizer | None = None  # whose codes these are, if they are all of its codes

    @property
    def size(self) -> int:
        return math.prod(self.codebooks)

    def entries(self, codes_NK: Tensor) -> Tensor:
        """The entry of the table, below V, that each token stands for: int64 [N..]."""
        (entries_N,) = table_entries(codes_NK[..., self.places].long(), self.codebooks)
        return entries_N

    def codes(self, entries_N: Tensor) -> Tensor:
        """The codes [N.., number of codebooks] of entries."""
        codes = []
        for size in self.codebooks:
            codes.append(entries_N % size)
            entries_N = entries_N // size
        return torch.stack(codes, dim=-1)

    @torch.no_grad()
    def vectors(self, entries_N: Tensor) -> Tensor:
        """The quantized latents [N.., D] of entries, float32 on the CPU; for parts with a leaf."""
        assert self.leaf is not None
        return self.leaf.lookup(self.codes(entries_N).to(self.leaf.codebook_sizes.device)).float().cpu()


def parts_of(codebooks: Sequence[int], quantizer: Quantizer | None) -> tuple[CodebookPart, ...]:
    """The parts of a token, in the order of its codes.

    A quantizer that makes more tokens than fit in an int64 is counted codebook by codebook, and so are the codes of a
    tokenizer whose quantizer is not known.
    """
    leaves = list(_leaves(quantizer)) if quantizer is not None else []
    if tuple(size for leaf in leaves for size in leaf.codebooks) != tuple(codebooks):
        return _separate(tuple(codebooks), 0)
    parts: list[CodebookPart] = []
    start = 0
    for leaf in leaves:
        end = start + len(leaf.codebooks)
        one = len(table_sizes(leaf.codebooks)) == 1
        parts += (
            [CodebookPart("", slice(start, end), leaf.codebooks, leaf)] if one else _separate(leaf.codebooks, start)
        )
        start = end
    return _named(parts)


def separate_codebooks(codebooks: Sequence[int]) -> tuple[CodebookPart, ...]:
    """A part for each code of a token."""
    return _separate(tuple(codebooks), 0)


def _separate(codebooks: tuple[int, ...], start: int) -> tuple[CodebookPart, ...]:
    return _named(
        [CodebookPart("", slice(start + place, start + place + 1), (size,)) for place, size in enumerate(codebooks)]
    )


def _named(parts: Sequence[CodebookPart]) -> tuple[CodebookPart, ...]:
    if len(parts) == 1:
        return (replace(parts[0], name="codebook" if len(parts[0].codebooks) == 1 else "whole tokens"),)
    return tuple(replace(part, name=f"codebook {number}") for number, part in enumerate(parts, start=1))


def _leaves(quantizer: Quantizer) -> Iterator[Quantizer]:
    """The leaves in the order of a token's codes; a shared one as often as it is used."""
    if not quantizer.parts:
        yield quantizer
    for part in quantizer.parts:
        yield from _leaves(part)
