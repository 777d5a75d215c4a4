"""The masks and the noise of training, and which tokens count in the loss.

All randomness is an argument, uniform numbers in [0, 1): the same numbers give the same batch on any device.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Counts: TypeAlias = Callable[[Tensor, int], Tensor]  # of uniform numbers and the number of tokens of a group
MEAN_RATIO = 2 / math.pi  # the mean of cos(pi / 2 * u) for uniform u


class BatchDraws(NamedTuple):
    """The uniform numbers that corrupt and mask a batch of clips."""

    ratio_BT: Tensor
    order_BTN: Tensor
    corrupt_BTN: Tensor
    source_BTN: Tensor


def cosine_counts(ratio: Tensor, tokens: int) -> Tensor:
    """How many tokens of a frame are masked, 1 .. N: many in most frames, as in the first steps of sampling."""
    return (torch.cos(ratio * (math.pi / 2)) * tokens).ceil().long().clamp(1, tokens)


def even_counts(ratio: Tensor, tokens: int) -> Tensor:
    """1 .. N with equal probability: the mean loss is then a bound of the likelihood, in any order of sampling."""
    return (ratio * tokens).floor().long().clamp(0, tokens - 1) + 1


def masks(counts_BT: Tensor, order_BTN: Tensor) -> Tensor:
    """bool [B, T, N]: the first `counts` tokens of each frame in a random order."""
    ranks_BTN = order_BTN.argsort(-1).argsort(-1)
    return ranks_BTN < counts_BT.unsqueeze(-1)


class FrameMasks(NamedTuple):
    """The known tokens of latent frames, and the masked ones whose loss counts: bool [B, T, N] each."""

    known_BTN: Tensor
    predicted_BTN: Tensor


def frame_masks(
    ratio_BT: Tensor, order_BTN: Tensor, sizes: tuple[int, ...], counts: Counts = cosine_counts
) -> FrameMasks:
    """Trains one group of tokens of each frame: it is partly masked, earlier groups are known, later ones all masked.

    `sizes` are the tokens of each group. One uniform number chooses both the group and how many of its tokens are
    masked.
    """
    group_BT, ratio_BT = chosen_group(ratio_BT, len(sizes))
    known, predicted = [], []
    for number, order_BTn in enumerate(torch.split(order_BTN, list(sizes), -1)):
        masked_BTn = masks(counts(ratio_BT, sizes[number]), order_BTn)
        here_BT1 = (group_BT == number).unsqueeze(-1)
        predicted.append(masked_BTn & here_BT1)
        known.append((group_BT > number).unsqueeze(-1) | (here_BT1 & ~masked_BTn))
    return FrameMasks(torch.cat(known, -1), torch.cat(predicted, -1))


def predicted_counts(ratio_BT: Tensor, sizes: tuple[int, ...], counts: Counts = cosine_counts) -> Tensor:
    """How many tokens of each frame count in the loss of `frame_masks`, int64 [B, T]."""
    group_BT, ratio_BT = chosen_group(ratio_BT, len(sizes))
    counts_GBT = torch.stack([counts(ratio_BT, size) for size in sizes])
    return counts_GBT.gather(0, group_BT.unsqueeze(0)).squeeze(0)


def chosen_group(ratio: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """A group, and the rest of the uniform number that chose it, which is uniform again."""
    group = (ratio * groups).long().clamp(max=groups - 1)
    return group, ratio * groups - group


def corrupt(codes_BTNK: Tensor, noise_B: Tensor, draws: BatchDraws, sizes: tuple[int, ...]) -> Tensor:
    """Replaces a share `noise_B` of the tokens by tokens of the same group from elsewhere in the same clip.

    So wrong tokens are plausible, as the errors of a model are. `sizes` are the tokens of each group.
    """
    parts = (torch.split(each, list(sizes), 2) for each in (codes_BTNK, draws.source_BTN))
    other_BTNK = torch.cat([elsewhere(*part) for part in zip(*parts, strict=True)], 2)
    wrong_BTN = draws.corrupt_BTN < noise_B[:, None, None]
    return torch.where(wrong_BTN.unsqueeze(-1), other_BTNK, codes_BTNK)


def elsewhere(codes_BTNK: Tensor, source_BTN: Tensor) -> Tensor:
    """For each token a random one of its clip."""
    tokens_BSK = codes_BTNK.flatten(1, 2)
    places = tokens_BSK.shape[1]
    source_BS = (source_BTN * places).long().clamp(max=places - 1).flatten(1)
    return tokens_BSK.gather(1, source_BS.unsqueeze(-1).expand_as(tokens_BSK)).view_as(codes_BTNK)


def mean_over_frames(values_BTN: Tensor, counted_BTN: Tensor) -> Tensor:
    """The mean over the counted tokens of each frame [B, T]; NaN where none is counted."""
    total = (values_BTN * counted_BTN).sum(-1)
    return total / counted_BTN.sum(-1)
