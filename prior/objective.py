"""What a prior is trained on: frames partly masked, a history partly wrong; and what of it counts.

All randomness comes in as uniform numbers in [0, 1): the same numbers make the same batch, on any device.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Counts: TypeAlias = Callable[[Tensor, int], Tensor]  # of uniform numbers and a group's tokens
MEAN_RATIO = 2 / math.pi  # of the cosine of a uniform draw


class BatchDraws(NamedTuple):
    """The uniform numbers that corrupt and mask a batch of clips."""

    ratio_BT: Tensor
    order_BTN: Tensor
    corrupt_BTN: Tensor
    source_BTN: Tensor


def cosine_counts(ratio: Tensor, tokens: int) -> Tensor:
    """How many of a frame's tokens are masked, 1 .. N: most frames have many, as in the first steps of sampling."""
    return (torch.cos(ratio * (math.pi / 2)) * tokens).ceil().long().clamp(1, tokens)


def even_counts(ratio: Tensor, tokens: int) -> Tensor:
    """1 .. N with equal probability: the mean loss then bounds the likelihood, whatever the order of decisions."""
    return (ratio * tokens).floor().long().clamp(0, tokens - 1) + 1


def masks(counts_BT: Tensor, order_BTN: Tensor) -> Tensor:
    """bool [B, T, N]: of each frame the `counts` tokens that come first in a random order."""
    ranks_BTN = order_BTN.argsort(-1).argsort(-1)
    return ranks_BTN < counts_BT.unsqueeze(-1)


class FrameMasks(NamedTuple):
    """What latent frames know of themselves, and what is asked of them: bool [B, T, N] each."""

    known_BTN: Tensor
    asked_BTN: Tensor


def frame_masks(
    ratio_BT: Tensor, order_BTN: Tensor, sizes: tuple[int, ...], counts: Counts = cosine_counts
) -> FrameMasks:
    """Of each frame one group of tokens is asked for: earlier groups are known, it partly, later ones not at all.

    `sizes` are the tokens of each group; the same uniform number chooses the group and how many of its tokens are
    masked.
    """
    group_BT, ratio_BT = chosen_group(ratio_BT, len(sizes))
    known, asked = [], []
    for number, order_BTn in enumerate(torch.split(order_BTN, list(sizes), -1)):
        masked_BTn = masks(counts(ratio_BT, sizes[number]), order_BTn)
        here_BT1 = (group_BT == number).unsqueeze(-1)
        asked.append(masked_BTn & here_BT1)
        known.append((group_BT > number).unsqueeze(-1) | (here_BT1 & ~masked_BTn))
    return FrameMasks(torch.cat(known, -1), torch.cat(asked, -1))


def asked_counts(ratio_BT: Tensor, sizes: tuple[int, ...], counts: Counts = cosine_counts) -> Tensor:
    """How many tokens `frame_masks` asks for in each frame, int64 [B, T]."""
    group_BT, ratio_BT = chosen_group(ratio_BT, len(sizes))
    counts_GBT = torch.stack([counts(ratio_BT, size) for size in sizes])
    return counts_GBT.gather(0, group_BT.unsqueeze(0)).squeeze(0)


def chosen_group(ratio: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """A group, and what is left of the uniform number that chose it."""
    group = (ratio * groups).long().clamp(max=groups - 1)
    return group, ratio * groups - group


def corrupt(codes_BTNK: Tensor, noise_B: Tensor, draws: BatchDraws) -> Tensor:
    """A history with errors: at the rate of its clip, tokens come from elsewhere in the same clip.

    So a wrong token is always a likely one, as the errors of a model are.
    """
    batch, depth = len(codes_BTNK), codes_BTNK.shape[-1]
    tokens_BSK = codes_BTNK.flatten(1, 2)
    places = tokens_BSK.shape[1]
    source_BS = (draws.source_BTN * places).long().clamp(max=places - 1).view(batch, places)
    other_BTNK = tokens_BSK.gather(1, source_BS.unsqueeze(-1).expand(-1, -1, depth)).view_as(codes_BTNK)
    wrong_BTN = draws.corrupt_BTN < noise_B.view(batch, 1, 1)
    return torch.where(wrong_BTN.unsqueeze(-1), other_BTNK, codes_BTNK)


def mean_over_frames(values_BTN: Tensor, counted_BTN: Tensor) -> Tensor:
    """The mean of what counts within each frame [B, T]; NaN where nothing does."""
    total = (values_BTN * counted_BTN).sum(-1)
    return total / counted_BTN.sum(-1)
