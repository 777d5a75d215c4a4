"""The outline of one thing: its place, size, shape and orientation in each frame."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from videogen.playroom.render import signed_distance
from videogen.playroom.scene import SHAPES

PATCH = 25  # pixels a side of the patch to which every outline is scaled
REACH = 2.0  # half a side of the patch, in radii of a disc of the same area
TURNS = 24  # templates over the period of a shape's symmetry
PERIODS = {"circle": 0, "ring": 0, "square": 4, "triangle": 3, "star": 5}  # corners; 0: a turn is invisible


@dataclass(frozen=True)
class Outline:
    """In each frame: place in 0..1, radius in sides, orientation in turns, and a weight of trust in 0..1."""

    shape: str
    symmetry: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    turn: NDArray[np.float64]
    trust: NDArray[np.float64]


def read_outlines(mask: Tensor, others: Tensor) -> Outline:
    """The outline in each frame of a soft mask [T, H, W]; frames where it touches `others` are not trusted."""
    frames, size, _ = mask.shape
    area = mask.sum((1, 2))
    x, y = _middle(mask.sum(1)), _middle(mask.sum(2))
    near = functional.max_pool2d((mask[None] > 0.2).float(), 5, 1, 2)[0]
    touching = (near * others).sum((1, 2)) / area.clamp(min=1.0)
    trust = ((touching < 0.03) & (area > 0.25 * area.median())).double()
    if trust.sum() < min(4, frames):  # hardly ever alone: take the frames with the least contact
        trust = (touching <= touching.sort().values[min(frames, 5) - 1]).double()
    likeness = _likeness(mask, x, y, area)  # [T, shapes, TURNS]
    weight = (trust * area.clamp(max=float(area.median()) * 2))[:, None]
    shape = SHAPES[int((likeness.amax(-1) * weight).sum(0).argmax())]
    symmetry = PERIODS[shape]
    turn = _finest(likeness[:, SHAPES.index(shape)]) / max(symmetry, 1)
    radius = (area / (size * size * area_of(shape))).sqrt()
    return Outline(shape, symmetry, *(value.double().cpu().numpy() for value in (x, y, radius, turn, trust)))


def _middle(profile: Tensor) -> Tensor:
    """The middle of a profile [T, N] on a circle, so that things across the border of the frame count as whole."""
    count = profile.shape[1]
    angle = 2 * math.pi * (torch.arange(count, device=profile.device) + 0.5) / count
    return torch.atan2((profile * angle.sin()).sum(1), (profile * angle.cos()).sum(1)) / (2 * math.pi) % 1.0


def _likeness(mask: Tensor, x: Tensor, y: Tensor, area: Tensor) -> Tensor:
    """Similarity of each frame's outline and each template, at most 1, [T, shapes, TURNS]."""
    size = mask.shape[-1]
    scale = REACH * (area / math.pi).sqrt().clamp(min=0.5) * 2 / size  # in halves of the frame
    steps = torch.linspace(-1, 1, PATCH, device=mask.device) * scale[:, None]
    rest_x, rest_y, centred = _centred(mask, x, y)
    across, down = rest_x[:, None] + steps, rest_y[:, None] + steps
    grid = torch.stack([across[:, None, :].expand(-1, PATCH, -1), down[:, :, None].expand(-1, -1, PATCH)], dim=-1)
    patch = functional.grid_sample(centred[:, None], grid, mode="bilinear", align_corners=False)
    patch = patch.flatten(1)
    flat = templates().to(mask.device).flatten(0, 1)
    difference = patch.square().sum(1)[:, None] - 2 * patch @ flat.T + flat.square().sum(1)
    return (1 - difference / patch.square().sum(1, keepdim=True).clamp(min=1.0)).view(-1, len(SHAPES), TURNS)


def _centred(mask: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each frame rolled by whole pixels so that the thing is in the middle, and the rest of the offset, in half sides.

    Things may be across the border of the frame; afterwards none is.
    """
    size = mask.shape[-1]
    steps = torch.arange(size, device=mask.device)
    left, top = ((place * size).floor().long() - size // 2 for place in (x, y))
    columns, rows = (left[:, None] + steps) % size, (top[:, None] + steps) % size
    rolled = mask.gather(2, columns[:, None, :].expand_as(mask)).gather(1, rows[:, :, None].expand_as(mask))
    return 2 * (x - left / size) - 1, 2 * (y - top / size) - 1, rolled


def _finest(likeness: Tensor) -> Tensor:
    """The best turn in 0..1 of the period, interpolated by a parabola through the three best templates."""
    best = likeness.argmax(-1)
    left, middle, right = (likeness.gather(-1, ((best + step) % TURNS)[:, None])[:, 0] for step in (-1, 0, 1))
    bend = (left - 2 * middle + right).clamp(max=-1e-9)
    return (best + 0.5 * (left - right) / bend) / TURNS % 1.0


@functools.cache
def area_of(shape: str) -> float:
    """The area of a shape of radius 1."""
    fine = torch.linspace(-1.5, 1.5, 1501)
    inside = signed_distance(shape, *_plane(fine)) < 0
    return float(inside.double().mean()) * 9.0


@functools.cache
def templates() -> Tensor:
    """Every shape at every turn, with the area of a disc of radius 1, [shapes, TURNS, PATCH * PATCH]."""
    steps = torch.linspace(-REACH, REACH, PATCH)
    u, v = _plane(steps)
    step = 2 * REACH / (PATCH - 1)
    made = []
    for shape in SHAPES:
        radius = math.sqrt(math.pi / area_of(shape))
        for number in range(TURNS):
            angle = 2 * math.pi * number / TURNS / max(PERIODS[shape], 1)
            cosine, sine = math.cos(angle) / radius, math.sin(angle) / radius
            distance = signed_distance(shape, u * cosine + v * sine, v * cosine - u * sine) * radius
            made.append((0.5 - distance / (2 * step)).clamp(0, 1).flatten())  # as soft as the masks of small things
    return torch.stack(made).view(len(SHAPES), TURNS, PATCH * PATCH)


def _plane(steps: Tensor) -> tuple[Tensor, Tensor]:
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    return u, v
