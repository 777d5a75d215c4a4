"""What every way of reading captions promises, and what all of them call the same caption."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from videogen.checkpoint import Content

if TYPE_CHECKING:
    from interfaces.prior import Text

# Controls that are no blanks, halves of surrogate pairs (no text can hold them), and two marks of no width that come
# from files and web pages. Joiners stay: emoji and some scripts are made of them.
DROPPED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u200b\ufeff]")
LONGEST_TEXT = 20_000  # characters: far more than any caption needs, and a book given as one costs no more


class Conditioner(ABC):
    """Captions in, `Text` for the prior out; each caption's row depends on that caption alone."""

    length: int  # places of a caption
    vocabulary: int | None  # how many ids there are, the padding included; None for features
    features: int | None  # how wide the features are; None for ids
    fingerprint: str  # equal for two that make the same of every caption

    @abstractmethod
    def __call__(self, captions: Sequence[str]) -> "Text":
        """The captions, on the CPU: cut to `length` tokens, padded with zeros; an empty or blank one is no text."""

    @abstractmethod
    def files(self) -> dict[str, Content]:
        """What a model folder keeps to make the same conditioner again, under `text/`."""

    @abstractmethod
    def token_ids(self, caption: str) -> list[int]:
        """All tokens of one caption, however long; none for a blank one."""

    def to(self, device: str) -> None:  # noqa: B027 - most need no network, and stay where they are
        """Read captions there from now on; what is read lies on the CPU all the same."""

    def too_long(self, captions: Iterable[str]) -> int:
        """How many of the captions lose their end because they have more than `length` tokens."""
        return sum(len(self.token_ids(caption)) > self.length for caption in captions)


def normalize_text(caption: str) -> str:
    """The caption in one line: control characters dropped, runs of blanks one blank, none at the ends; or its start."""
    return " ".join(DROPPED.sub("", caption[:LONGEST_TEXT]).split())
