"""Who may see whom. Training masks, gathered keys and the streaming memory all follow this one definition.

A training sequence is `[context][clean frames]` or, to teach frames that are decided in parallel, `[context][clean
frames][masked frames]`: two copies at the same positions (complete teacher forcing). So one pass teaches every frame,
and each masked frame meets exactly what it will meet while streaming: the clean frames of its window, and itself.

    who asks         context   clean, earlier              clean, its own frame          masked, its own frame
    context          all       -                           -                             -
    clean frame      all       in the window, or sinks     all, or in raster order       -
    masked frame     all       in the window, or sinks     -                             all

Where there are masked frames nobody would look at the clean copy of the last one, so the sequence does not hold it.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """A training sequence of `frames` latent frames of `tokens` tokens each; hashable, so that masks can be kept."""

    context: int
    frames: int
    tokens: int
    window: int
    sinks: int
    copies: Literal[1, 2]
    order: Literal["together", "raster"]  # what tokens of the same frame see of each other

    def __post_init__(self) -> None:
        if self.copies == 2 and self.order == "raster":
            raise ValueError("frames that are decided in raster order are taught without a masked copy")

    @property
    def history(self) -> int:
        """How many clean frames there are."""
        return self.frames if self.copies == 1 else self.frames - 1

    @property
    def length(self) -> int:
        masked = self.frames if self.copies == 2 else 0
        return self.context + (self.history + masked) * self.tokens

    def may_see(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether position `query` sees position `key`; int64 tensors that broadcast, to bool."""
        q_copy, q_frame, q_token = self.place(query)
        k_copy, k_frame, k_token = self.place(key)
        earlier = (k_copy == 0) & (k_frame < q_frame) & (((q_frame - k_frame) <= self.window) | (k_frame < self.sinks))
        own = (k_copy == q_copy) & (k_frame == q_frame)
        if self.order == "raster":
            own = own & (k_token <= q_token)
        return (k_copy < 0) | ((q_copy >= 0) & (earlier | own))

    def place(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Copy (-1: the context), frame, and place within the frame."""
        beyond = position - self.context
        frame, token = beyond // self.tokens, beyond % self.tokens
        masked = frame >= self.history
        copy = torch.where(beyond < 0, -1, masked.long())
        return copy, torch.where(masked, frame - self.history, frame), token

    def mask(self, device: torch.device | None = None) -> Tensor:
        """bool [S, S], queries by keys: quadratic, for the oracle and for short sequences."""
        all_of_them = torch.arange(self.length, device=device)
        return self.may_see(all_of_them[:, None], all_of_them[None, :])
