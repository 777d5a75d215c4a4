"""The pictures of a codebook, with captions: cells in a plane, and decoded codes.

Legend: V codes shown, K codes of a token, M latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videogen.evaluation.codebook.books import Book
from videogen.evaluation.codebook.decoded import decode_codes, grid_of
from videogen.evaluation.codebook.geometry import PrincipalPlane, plane_of
from videogen.evaluation.codebook.parts import CodebookPart
from videogen.evaluation.codebook.usage import PartUsage
from videogen.evaluation.codebook.voronoi import draw_cells, window_around
from videogen.io.contact_sheet import contact_sheet
from videogen.models import TokenizerModel

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BOOKS = 8
MOST_CELLS = 4096
MOST_DECODED, MOST_DECODED_EACH = 256, 64  # codes of the only codebook, of each of several
PICTURE = 32  # pixels a side of a decoded code, at least


def cell_sheet(books: Sequence[Book]) -> Image:
    """A panel for each codebook, two in a row."""
    drawn = [draw_book(book) for book in books[:MOST_BOOKS]]
    rows = [drawn[start : start + 2] for start in range(0, len(drawn), 2)]
    clips = [np.stack([picture for picture, _ in row]) for row in rows]
    captions = [beside_each_other([caption for _, caption in row]) for row in rows]
    return contact_sheet(clips, captions, columns=2, scale=1)


def beside_each_other(captions: Sequence[str]) -> str:
    return captions[0] if len(captions) == 1 else f"Left, {captions[0]} Right, {captions[1]}"


def draw_book(book: Book) -> tuple[NDArray[np.uint8], str]:
    """The cells of a codebook, and what one sees."""
    shown_V = book.most_used(MOST_CELLS)
    vectors_VD = book.vectors_VD[shown_V]
    latents_MD = None if book.seen is None else book.seen.latents_MD
    plane = plane_of(vectors_VD if latents_MD is None else latents_MD)
    codes_V2 = plane.project(vectors_VD)
    latents_M2 = None if latents_MD is None else plane.project(latents_MD)
    counts_V = None if book.counts_V is None else book.counts_V[shown_V]
    window = window_around(codes_V2 if latents_M2 is None else torch.cat([codes_V2, _middle(latents_M2)]))
    return draw_cells(codes_V2, counts_V, latents_M2, window), cell_caption(book, plane, len(shown_V))


def _middle(points_M2: Tensor) -> Tensor:
    """The corners of the rectangle that holds all points but one in a hundred at each side."""
    return torch.quantile(points_M2.double(), torch.tensor([0.01, 0.99], dtype=torch.float64), dim=0).float()


def cell_caption(book: Book, plane: PrincipalPlane, shown: int) -> str:
    dim = book.vectors_VD.shape[1]
    of = "codes" if book.seen is None else "latents"
    some = f"the {shown:,} most used" if shown < book.part.size else f"all {shown:,} codes"
    how = "exact cells" if dim <= 2 else f"two principal axes of the {of}: {plane.share:.0%} of their variance"
    return f"{book.name}: {some}; {how}."


def decoded_sheet(model: TokenizerModel, books: Sequence[Book], others_K: Tensor) -> Image:
    """The pictures of the codes of each codebook."""
    most = MOST_DECODED if len(books) == 1 else MOST_DECODED_EACH
    grids, captions = [], []
    for book in books[:MOST_BOOKS]:
        shown_V = book.most_used(most)
        pictures = decode_codes(model, book.part, book.entries_V[shown_V], others_K)
        counts_V = book.counts_V[shown_V] if book.counts_V is not None else None
        never_V = counts_V == 0 if counts_V is not None else torch.zeros(len(shown_V), dtype=torch.bool)
        grids.append(grid_of(pictures, never_V, max(1, round(PICTURE / pictures.shape[1]))))
        captions.append(decoded_caption(book, counts_V, len(shown_V)))
    return contact_sheet([grid[None] for grid in grids], captions, columns=1, scale=1)


def decoded_caption(book: Book, counts_V: Tensor | None, shown: int) -> str:
    some = f"{shown:,} of {book.part.size:,} codes" if shown < book.part.size else f"all {shown:,} codes"
    if counts_V is None:
        return f"{book.name}: {some}."
    used = f"used {int(counts_V[0]):,} to {int(counts_V[-1]):,} times"
    red = "; red frame: never used" if int(counts_V[-1]) == 0 else ""
    return f"{book.name}: {some}, most used first, {used}{red}."


def common_codes(parts: Sequence[CodebookPart], usages: Sequence[PartUsage], depth: int) -> Tensor:
    """The most used code of each part, int64 [K]; without data the first."""
    codes_K = torch.zeros(depth, dtype=torch.int64)
    for part, usage in zip(parts, usages, strict=False):
        codes_K[part.places] = part.codes(usage.table.entries_U[usage.table.counts_U.argmax()])
    return codes_K
