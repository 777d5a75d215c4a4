"""Conditioner, the interface of text conditioning, and the normalization that all of them apply to captions."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from videogen.checkpoint import Content

if TYPE_CHECKING:
    from interfaces.prior import Text

# Control characters other than white space, halves of surrogate pairs, and two zero-width marks of files and web pages.
# Joiners stay, because emoji and some scripts need them.
DROPPED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u200b\ufeff]")
LONGEST_TEXT = 20_000  # characters; the rest of a longer caption is ignored


class Conditioner(ABC):
    """Turns captions into `Text` for the prior; each row depends on its caption alone."""

    length: int  # tokens of a caption, padding included
    vocabulary: int | None  # number of ids, padding included; None for features
    features: int | None  # width of the features; None for ids
    fingerprint: str  # equal for conditioners that give equal texts for every caption

    @abstractmethod
    def __call__(self, captions: Sequence[str]) -> "Text":
        """The captions on the CPU, cut to `length` tokens and padded with zeros; a blank caption is no text."""

    @abstractmethod
    def files(self) -> dict[str, Content]:
        """The files under `text/` in a model folder, from which the same conditioner is loaded."""

    @abstractmethod
    def token_ids(self, caption: str) -> list[int]:
        """All tokens of one caption, not cut; none for a blank one."""

    def to(self, device: str) -> None:  # noqa: B027 - only encoders have a network
        """Move the encoder's network; texts stay on the CPU."""

    def too_long(self, captions: Iterable[str]) -> int:
        """How many captions have more than `length` tokens and are cut."""
        return sum(len(self.token_ids(caption)) > self.length for caption in captions)


def pad_ids(rows: Sequence[Sequence[int]], length: int, padding: int = 0) -> "Text":
    """Ids of captions, each cut to `length` and padded."""
    import torch

    from interfaces.prior import Text

    ids_BL = torch.full((len(rows), length), padding, dtype=torch.int64)
    mask_BL = torch.zeros(len(rows), length, dtype=torch.bool)
    for row, ids in enumerate(rows):
        kept = torch.tensor(ids[:length], dtype=torch.int64)
        ids_BL[row, : len(kept)], mask_BL[row, : len(kept)] = kept, True
    return Text(ids_BL, mask_BL)


def normalize_text(caption: str) -> str:
    """The caption on one line: no control characters, single blanks, none at the ends; only its start if it is long."""
    return " ".join(DROPPED.sub("", caption[:LONGEST_TEXT]).split())
