"""Negative log-likelihood of clips under a prior, in nats per token.

Under the masked objective every number of masked tokens, 1 .. N, is equally frequent. The mean over masked tokens then
estimates the cost of sampling the frame token by token in a random order: an upper bound of -log p(frame) / N. Under
the autoregressive objective the figure is that likelihood itself, so the two are comparable, and in bits per pixel so
are different tokenizers.

Each group of tokens is evaluated in its own pass, with the earlier groups known.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.heads.base import TokenLosses
from prior.model import PriorBatch
from prior.objective import even_counts, masks, mean_over_frames

GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples modulo 1 are spread evenly over [0, 1)
Losses = Callable[[PriorBatch], TokenLosses]


class FrameLikelihoods(NamedTuple):
    """For each latent frame of a batch: nats per token, top-1 accuracy, and the share of masked tokens."""

    nats_BT: Tensor
    right_BT: Tensor
    ratio_BT: Tensor

    def of(self, clips: slice) -> "FrameLikelihoods":
        return FrameLikelihoods(*(each[clips] for each in self))


def frame_likelihoods(
    losses: Losses,
    codes_BTNK: Tensor,
    spec: TokenSpec,
    masked: bool,
    text: Text | None,
    control: Tensor | None,
    first: int,
) -> FrameLikelihoods:
    """Evaluates a batch; `first` is the number of its first clip, which determines the masks."""
    clips = range(first, first + len(codes_BTNK))
    noise_B = torch.zeros(len(codes_BTNK), device=codes_BTNK.device)

    def run(known: Tensor | None) -> TokenLosses:
        return losses(PriorBatch(codes_BTNK, codes_BTNK, known, text, noise_B, spec, control))

    if not masked:
        everything = torch.ones(codes_BTNK.shape[:3], device=codes_BTNK.device)
        return of_frames(run(None), everything)
    parts = [
        of_frames(run(known_BTN.to(codes_BTNK.device)), asked_BTN.to(codes_BTNK.device).float())
        for known_BTN, asked_BTN in group_masks(clips, codes_BTNK.shape[1], spec)
    ]
    return parts[0] if len(parts) == 1 else mean_over_groups(parts, spec)


def mean_over_groups(parts: Sequence[FrameLikelihoods], spec: TokenSpec) -> FrameLikelihoods:
    """Groups weighted by their tokens; the masking ratio counts the tokens that all passes together have masked."""
    shares = torch.tensor([group.tokens / spec.tokens for group in spec.groups])
    nats_BT, right_BT = (
        torch.stack(each, -1) @ shares.to(each[0])
        for each in zip(*((p.nats_BT, p.right_BT) for p in parts), strict=True)
    )
    return FrameLikelihoods(nats_BT, right_BT, torch.stack([part.ratio_BT for part in parts]).sum(0))


def of_frames(losses: TokenLosses, asked_BTN: Tensor) -> FrameLikelihoods:
    nats_BT, right_BT = (mean_over_frames(each.float(), asked_BTN) for each in (losses.nats, losses.right))
    return FrameLikelihoods(nats_BT, right_BT, asked_BTN.mean(-1))


def group_masks(clips: range, frames: int, spec: TokenSpec) -> Iterable[tuple[Tensor, Tensor]]:
    """For each group the known and the evaluated tokens, bool [B, T, N], determined by the numbers of the clips."""
    numbers = torch.tensor([[clip * frames + frame for frame in range(frames)] for clip in clips], dtype=torch.float64)
    orders = [torch.rand(frames, spec.tokens, generator=torch.Generator().manual_seed(clip)) for clip in clips]
    ratio_BT, order_BTN = numbers * GOLDEN % 1, torch.stack(orders)
    for group, part in zip(spec.groups, spec.slices, strict=True):
        asked_BTN = torch.zeros(order_BTN.shape, dtype=torch.bool)
        asked_BTN[..., part] = masks(even_counts(ratio_BT, group.tokens), order_BTN[..., part])
        known_BTN = ~asked_BTN
        known_BTN[..., part.stop :] = False
        yield known_BTN, asked_BTN
