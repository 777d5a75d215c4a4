"""What a prior is taught with: frames partly masked, a history partly wrong; and what of it counts.

All chance comes in as uniform numbers in [0, 1): the same numbers make the same lesson, on any device.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

MEAN_RATIO = 2 / math.pi  # of the cosine of a uniform draw


class Chance(NamedTuple):
    """The uniform numbers that a batch of clips is taught by."""

    ratio_BT: Tensor
    order_BTN: Tensor
    spoilt_BTN: Tensor
    instead_BTN: Tensor


def cosine_counts(ratio: Tensor, tokens: int) -> Tensor:
    """How many of a frame's tokens are masked, 1 .. N: most frames have many, as in the first steps of sampling."""
    return (torch.cos(ratio * (math.pi / 2)) * tokens).ceil().long().clamp(1, tokens)


def even_counts(ratio: Tensor, tokens: int) -> Tensor:
    """1 .. N with equal chance: the mean loss then bounds the likelihood, whatever the order of decisions."""
    return (ratio * tokens).floor().long().clamp(0, tokens - 1) + 1


def masks(counts_BT: Tensor, order_BTN: Tensor) -> Tensor:
    """bool [B, T, N]: of each frame the `counts` tokens that come first in a random order."""
    ranks_BTN = order_BTN.argsort(-1).argsort(-1)
    return ranks_BTN < counts_BT.unsqueeze(-1)


def spoilt(ids_BTN: Tensor, rate_B: Tensor, chance: Chance) -> Tensor:
    """A history with mistakes: at the rate of its clip, tokens are those from elsewhere in the same clip.

    So a wrong token is always a likely one, as the mistakes of a model are.
    """
    batch, places = len(ids_BTN), ids_BTN[0].numel()
    elsewhere = (chance.instead_BTN * places).long().clamp(max=places - 1).view(batch, places)
    other_BTN = ids_BTN.view(batch, places).gather(1, elsewhere).view(ids_BTN.shape)
    return torch.where(chance.spoilt_BTN < rate_B.view(batch, 1, 1), other_BTN, ids_BTN)


def mean_over_frames(values_BTN: Tensor, counted_BTN: Tensor) -> Tensor:
    """The mean of what counts within each frame [B, T]; NaN where nothing does."""
    total = (values_BTN * counted_BTN).sum(-1)
    return total / counted_BTN.sum(-1)
