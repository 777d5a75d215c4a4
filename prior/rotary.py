"""Rotary positions over (t, y, x), or along a line.

Channel pairs take turns between the axes, so that each axis has slow and fast pairs. What is timeless (the context and
the sink frames) has its pairs of t set to zero: to every frame it looks the same, however long the stream has run.
"""

from typing import NamedTuple

import torch
from torch import Tensor

TIME, AXES = 0, 3


class Turns(NamedTuple):
    """Cosines and sines float32 [S, D / 2]: by how much each pair of channels is turned at each position."""

    cos: Tensor
    sin: Tensor


def frame_turns(times_T: Tensor, grid: tuple[int, int], channels: int, theta: float, timeless: Tensor) -> Turns:
    """Of whole latent frames at `times_T` (int64), row by row; of those that are `timeless` [T] without their time."""
    height, width = grid
    t, y, x = torch.meshgrid(times_T, *(torch.arange(n, device=times_T.device) for n in (height, width)), indexing="ij")
    places_SA = torch.stack([t.flatten(), y.flatten(), x.flatten()], -1)
    axis_P = pair_axes(channels, times_T.device)
    turns = turned_by(places_SA[:, axis_P], channels, theta)
    silent = timeless.repeat_interleave(height * width)[:, None] & (axis_P == TIME)
    return silenced(turns, silent)


def context_turns(length: int, channels: int, device: torch.device | None = None) -> Turns:
    """Of a context: not turned, for its order is told by an embedding, and without time."""
    axis_P = pair_axes(channels, device)
    turns = turned_by(torch.zeros(length, channels // 2, dtype=torch.int64, device=device), channels, 2.0)
    return silenced(turns, (axis_P == TIME).expand(length, -1))


def line_turns(start: int, length: int, channels: int, theta: float, device: torch.device | None = None) -> Turns:
    """Of tokens on a line, as in a model of text."""
    places_S1 = torch.arange(start, start + length, device=device)[:, None]
    return turned_by(places_S1.expand(-1, channels // 2), channels, theta)


def pair_axes(channels: int, device: torch.device | None) -> Tensor:
    """Which axis each pair follows [D / 2]: t, y, x, t, y, x, ..."""
    return torch.arange(channels // 2, device=device) % AXES


def turned_by(places_SP: Tensor, channels: int, theta: float) -> Turns:
    """Angles in float64: at position 1,000,000 the numbers of float32 stand a sixteenth of a radian apart."""
    exponents = torch.arange(0, channels, 2, device=places_SP.device, dtype=torch.float64) / channels
    angles_SP = places_SP.double() * theta**-exponents
    return Turns(angles_SP.cos().float(), angles_SP.sin().float())


def silenced(turns: Turns, silent: Tensor) -> Turns:
    return Turns(turns.cos.masked_fill(silent, 0.0), turns.sin.masked_fill(silent, 0.0))


def joined(*parts: Turns) -> Turns:
    return Turns(torch.cat([part.cos for part in parts]), torch.cat([part.sin for part in parts]))


def turn(vectors_BSHD: Tensor, turns: Turns) -> Tensor:
    """Pair i is channels i and i + D / 2; in float32, for bfloat16 would nearly double the error of the scores."""
    first, second = vectors_BSHD.float().chunk(2, -1) if vectors_BSHD.dtype.itemsize < 4 else vectors_BSHD.chunk(2, -1)
    cos, sin = (part.to(first.dtype)[:, None, :] for part in turns)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.to(vectors_BSHD.dtype)
