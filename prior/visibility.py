"""The attention pattern: training masks, gathered keys and the KV cache of a stream all follow this definition.

A training sequence is `[context][clean frames]` or, for the objective masked, `[context][clean frames][masked frames]`:
two copies at the same positions (complete teacher forcing). So one pass trains every frame, and each masked frame
attends to what it attends to while streaming: the clean frames of its window, and itself.

    query            context   clean, earlier              clean, its own frame          masked, its own frame
    context          all       -                           -                             -
    clean frame      all       in the window               all, or in raster order       -
    masked frame     all       in the window               -                             all

With masked frames, nothing would attend to the clean copy of the last frame, so the sequence does not contain it.

A prior with captions has `[caption]` at the end of the sequence, and then the clean copy of the last frame too. The
caption stands where the next latent frame would: it attends to the context, to the clean frames of that frame's window,
and to itself in order. Nothing else attends to it.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

CAPTION = 2  # its number among the copies


@dataclass(frozen=True)
class Layout:
    """A training sequence of `frames` latent frames of `tokens` tokens each; hashable, so that masks can be cached."""

    context: int
    frames: int
    tokens: int
    window: int
    copies: Literal[1, 2]
    order: Literal["together", "raster"]  # whether tokens attend to their whole frame, or only to earlier tokens of it
    caption: int = 0  # positions of a caption after the frames

    def __post_init__(self) -> None:
        if self.copies == 2 and self.order == "raster":
            raise ValueError("order raster has no masked copy; set copies to 1")

    @property
    def history(self) -> int:
        """The number of clean frames."""
        return self.frames if self.copies == 1 or self.caption else self.frames - 1

    @property
    def length(self) -> int:
        masked = self.frames if self.copies == 2 else 0
        return self.context + (self.history + masked) * self.tokens + self.caption

    def may_see(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether position `query` attends to position `key`; int64 tensors that broadcast, to bool."""
        q_copy, q_frame, q_token = self.locate(query)
        k_copy, k_frame, k_token = self.locate(key)
        earlier = (k_copy == 0) & (k_frame < q_frame) & ((q_frame - k_frame) <= self.window)
        own = (k_copy == q_copy) & (k_frame == q_frame)
        in_order = k_token <= q_token
        own = own & (in_order if self.order == "raster" else in_order | (q_copy < CAPTION))
        return (k_copy < 0) | ((q_copy >= 0) & (earlier | own))

    def locate(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Copy (-1: the context, 2: the caption), frame, and token within the frame."""
        beyond = position - self.context
        frame, token = beyond // self.tokens, beyond % self.tokens
        masked = frame >= self.history
        copy = torch.where(beyond < 0, -1, masked.long())
        frame = torch.where(masked, frame - self.history, frame)
        if not self.caption:
            return copy, frame, token
        place = position - (self.length - self.caption)
        caption = place >= 0
        return (
            torch.where(caption, CAPTION, copy),
            torch.where(caption, self.frames, frame),
            torch.where(caption, place, token),
        )

    def mask(self, device: torch.device | None = None) -> Tensor:
        """bool [S, S], queries by keys: quadratic, for the oracle and for short sequences."""
        positions = torch.arange(self.length, device=device)
        return self.may_see(positions[:, None], positions[None, :])
