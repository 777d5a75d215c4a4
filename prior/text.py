"""What a caption is to the prior: a fixed number of places, some of them filled.

Legend: B captions, L places, F features of a frozen encoder.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Text(NamedTuple):
    """Captions of one fixed length, padded; a row without any token is no text at all: the prior's learned null."""

    content: Tensor  # int64 [B, L] ids, or float [B, L, F] features
    mask: Tensor  # bool [B, L]: where there is a token

    def without(self, dropped_B: Tensor) -> "Text":
        """The same captions, those where `dropped_B` (bool) is true being no text any more."""
        if dropped_B.dtype != torch.bool or dropped_B.shape != self.mask.shape[:1]:
            expected = f"bool [{len(self.mask)}]"
            raise ValueError(f"dropped_B is {dropped_B.dtype} {list(dropped_B.shape)}; expected {expected}")
        return self._replace(mask=self.mask & ~dropped_B[:, None])

    def rows(self, index: Tensor | slice) -> "Text":
        """Some of the captions: by a slice, by their numbers (repeats allowed), or by a bool for each."""
        return Text(self.content[index], self.mask[index])

    def to(self, device: torch.device | str) -> "Text":
        return Text(self.content.to(device), self.mask.to(device))
