"""Rotary positions: scores of queries and keys depend on the difference of their places, so any grid fits."""

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32

THETA = 100.0  # the slowest pair turns by about 1/100 radian a place: windows are short


def rotary_table(places_SA: Tensor, channels: int) -> Tensor:
    """Cosines and sines [2, S, D / 2] of places with A coordinates, between which the pairs of channels alternate.

    In float64, so that a network in float64 computes the same from any start of counting.
    """
    pairs = torch.arange(channels // 2, device=places_SA.device)
    frequencies_P = THETA ** -(2 * pairs.double() / channels)
    angles_SP = places_SA.double()[:, pairs % places_SA.shape[1]] * frequencies_P
    return torch.stack([angles_SP.cos(), angles_SP.sin()])


def rotate(x_SD: Tensor, table: Tensor) -> Tensor:
    """Vectors [..., S, D], their pairs of channels (i, i + D / 2) turned by the table [2, S, D / 2]."""
    first, second = at_least_float32(x_SD).chunk(2, -1)
    cos, sin = table.to(first.dtype)  # at least float32: bfloat16 would nearly double the error of the scores
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x_SD.dtype)
