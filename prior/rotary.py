"""Rotary positions over (t, y, x).

Channel pairs alternate between the axes, so that each axis has slow and fast pairs. The context has no
time: its pairs of t are zero, so that its scores do not depend on how long the stream has run.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.tokens import TokenGroup

TIME, AXES = 0, 3


class RotaryCache(NamedTuple):
    """Cosines and sines float32 [S, D / 2]: the rotation of each pair of channels at each position."""

    cos: Tensor
    sin: Tensor


def frame_rotary(times_T: Tensor, groups: tuple[TokenGroup, ...], channels: int, theta: float) -> RotaryCache:
    """The rotary of whole latent frames at `times_T` (int64), in decode order."""
    yx_N2 = coordinates(groups, times_T.device)
    t_S1 = times_T.double().repeat_interleave(len(yx_N2))[:, None]
    places_SA = torch.cat([t_S1, yx_N2.repeat(len(times_T), 1)], 1)
    return rotary_at(places_SA[:, pair_axes(channels, times_T.device)], channels, theta)


def context_rotary(length: int, channels: int, device: torch.device | None = None) -> RotaryCache:
    """The rotary of a context: no rotation, because it has learned positions, and no time."""
    cos_P = (pair_axes(channels, device) != TIME).float()
    return RotaryCache(cos_P.repeat(length, 1), torch.zeros(length, channels // 2, device=device))


def caption_rotary(
    time: int, length: int, channels: int, theta: float, device: torch.device | None = None
) -> RotaryCache:
    """The rotary of a caption: all of its tokens are at the time of the next latent frame and at its origin.

    Their order comes from learned positions. Scores depend only on how long ago a latent frame was, as between frames.
    """
    times_P = torch.where(pair_axes(channels, device) == TIME, time, 0)
    return rotary_at(times_P.expand(length, -1), channels, theta)


def coordinates(groups: tuple[TokenGroup, ...], device: torch.device | None = None) -> Tensor:
    """Row and column of the center of each token, float64 [N, 2], in cells of the finest group: integers for a single
    grid.

    A token of a coarse group is at the center of the fine tokens that it covers. A 1D group has no rows.
    """
    sizes = [(1, *group.shape)[-2:] for group in groups]
    rows, columns = (max([size[axis] for size in sizes]) for axis in range(2))
    parts = []
    for group, (height, width) in zip(groups, sizes, strict=True):
        y, x = (torch.arange(count, dtype=torch.float64, device=device) for count in (height, width))
        y = (y + 0.5) * rows / height - 0.5 if len(group.shape) == 2 else y
        x = (x + 0.5) * columns / width - 0.5
        parts.append(torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1))
    return torch.cat(parts)


def pair_axes(channels: int, device: torch.device | None) -> Tensor:
    """The axis of each channel pair [D / 2]: t, y, x, t, y, x, ..."""
    return torch.arange(channels // 2, device=device) % AXES


def rotary_at(places_SP: Tensor, channels: int, theta: float) -> RotaryCache:
    """Angles in float64: at position 1,000,000 adjacent float32 numbers are 1/16 radian apart."""
    exponents = torch.arange(0, channels, 2, device=places_SP.device, dtype=torch.float64) / channels
    angles_SP = places_SP.double() * theta**-exponents
    return RotaryCache(angles_SP.cos().float(), angles_SP.sin().float())


def concat_rotary(parts: Sequence[RotaryCache]) -> RotaryCache:
    return RotaryCache(torch.cat([part.cos for part in parts]), torch.cat([part.sin for part in parts]))


def apply_rotary(vectors_BSHD: Tensor, rotary: RotaryCache) -> Tensor:
    """Rotates pairs of channels (i, i + D / 2), in float32: bfloat16 would nearly double the error of the scores."""
    first, second = vectors_BSHD.float().chunk(2, -1) if vectors_BSHD.dtype.itemsize < 4 else vectors_BSHD.chunk(2, -1)
    cos, sin = (part.to(first.dtype)[:, None, :] for part in rotary)
    rotated = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
    return rotated.to(vectors_BSHD.dtype)
