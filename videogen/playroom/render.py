"""Render scenes: a function of (scene, time, pixel), in batches, without loops over frames or pixels.

Each shape is a signed distance in units of its radius; coverage is the distance in pixels, clamped, so edges are smooth
at any size. A part of the frames renders exactly as within the whole clip.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from videogen.playroom.scene import COLOURS, DRIFTS, GROUNDS, PATTERNS, Backdrop, Scene, Thing, pose

PIXELS_AT_ONCE = 1 << 20  # of one thing; intermediate results stay in the processor's cache

# Radius of each shape's outline relative to the thing's radius, so that shapes of one size look equally large.
SQUARE = 0.86
TRIANGLE = 1.12  # from the center to a corner
RING = (0.52, 1.0)
STAR = (0.50, 1.12)  # from the center to the inner and the outer corners


def render(
    scenes: Sequence[Scene],
    frames: int,
    size: int,
    fps: float = 8.0,
    start: int = 0,
    device: str | torch.device = "cpu",
) -> Tensor:
    """uint8 [B, frames, size, size, 3]: frames `start` to `start + frames` of each scene."""
    seconds = np.arange(start, start + frames) / fps
    at_once = max(1, PIXELS_AT_ONCE // (frames * size * size))
    pieces = [
        _render_some(scenes[first : first + at_once], seconds, size, torch.device(device))
        for first in range(0, len(scenes), at_once)
    ]
    return torch.cat(pieces) if pieces else torch.zeros((0, frames, size, size, 3), dtype=torch.uint8, device=device)


def _render_some(scenes: Sequence[Scene], seconds: np.ndarray, size: int, device: torch.device) -> Tensor:
    grounds = torch.stack([backdrop_image(scene.backdrop, size) for scene in scenes]).to(device)
    pixels = grounds[:, :, None].expand(-1, -1, len(seconds), -1, -1).contiguous()  # [B, 3, T, H, W]
    for layer in reversed(range(max(len(scene.things) for scene in scenes))):  # the back first
        rows = [row for row, scene in enumerate(scenes) if layer < len(scene.things)]
        for shape in sorted({scenes[row].things[layer].shape for row in rows}):
            some = [row for row in rows if scenes[row].things[layer].shape == shape]
            things = [scenes[row].things[layer] for row in some]
            cover = coverage(shape, things, seconds, size, device)[:, None]
            colour = torch.tensor([COLOURS[thing.colour] for thing in things], device=device).float()
            index = torch.tensor(some, device=device)
            pixels[index] = torch.lerp(pixels[index], colour[:, :, None, None, None], cover)
    return pixels.round_().to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()


@functools.lru_cache(maxsize=256)
def backdrop_image(backdrop: Backdrop, size: int) -> Tensor:
    """float [3, H, W] in 0..255; pixel centers are at (i + 0.5) / size."""
    colour = torch.tensor(GROUNDS[backdrop.colour]).float()[:, None, None]
    place = (torch.arange(size) + 0.5) / size
    if backdrop.pattern == PATTERNS[0]:
        return colour.expand(3, size, size).clone()
    if backdrop.pattern == PATTERNS[1]:  # darker above, lighter below
        return (colour * (0.45 + 1.0 * place[:, None]) + 8 * place[:, None]).expand(3, size, size).clone()
    cells = (place * 8).floor()
    light = (cells[:, None] + cells[None, :]) % 2
    return colour * (0.7 + 0.45 * light) + 14 * light


def coverage(shape: str, things: Sequence[Thing], seconds: np.ndarray, size: int, device: torch.device) -> Tensor:
    """How much of each pixel a thing covers, float [N, T, H, W] in 0..1."""
    poses = [np.stack(pose(thing, seconds)) for thing in things]
    x, y, radius, turn = torch.from_numpy(np.stack(poses, axis=1)).to(device)  # float64 [N, T] each
    wraps = torch.tensor([thing.motion in DRIFTS for thing in things], device=device)[:, None, None]
    place = (torch.arange(size, device=device, dtype=torch.float64) + 0.5) / size
    across, down = place - x[..., None], place - y[..., None]
    across = torch.where(wraps, (across + 0.5) % 1.0 - 0.5, across)
    down = torch.where(wraps, (down + 0.5) % 1.0 - 0.5, down)
    u = (across / radius[..., None]).float()[:, :, None, :]
    v = (down / radius[..., None]).float()[:, :, :, None]
    if any(thing.motion == "spins" for thing in things):
        cosine, sine = torch.cos(2 * math.pi * turn).float(), torch.sin(2 * math.pi * turn).float()
        cosine, sine = cosine[..., None, None], sine[..., None, None]
        u, v = u * cosine + v * sine, v * cosine - u * sine
    distance = signed_distance(shape, u, v)
    return distance.mul_((-radius * size).float()[..., None, None]).add_(0.5).clamp_(0.0, 1.0)


def signed_distance(shape: str, u: Tensor, v: Tensor) -> Tensor:
    """Distance to the outline, negative inside, in units of the radius; u to the right, v downwards."""
    if shape == "circle":
        return (u * u + v * v).sqrt_().sub_(1.0)
    if shape == "ring":
        middle, half = (RING[0] + RING[1]) / 2, (RING[1] - RING[0]) / 2
        return (u * u + v * v).sqrt_().sub_(middle).abs_().sub_(half)
    if shape == "square":
        return torch.maximum(u.abs(), v.abs()).sub_(SQUARE)
    if shape == "triangle":  # one corner up
        slanted = u.abs().mul(math.sqrt(3) / 2) - v * 0.5
        return torch.maximum(slanted, v).sub_(TRIANGLE / 2)
    return _star_distance(u, v)


def _star_distance(u: Tensor, v: Tensor) -> Tensor:
    """A star with one corner up: the plane is folded into a tenth of a turn, where the outline is a straight line."""
    tenth = math.pi / 5
    u = u.abs()
    for angle in (tenth, math.pi - tenth):  # folds every point between a corner and the hollow next to it
        u, v = _mirrored(u, v, angle)
    u = u.abs()
    corner = (0.0, -STAR[1])
    hollow = (STAR[0] * math.sin(tenth), -STAR[0] * math.cos(tenth))
    along = (hollow[0] - corner[0], hollow[1] - corner[1])
    length = math.hypot(*along)
    normal = (along[1] / length, -along[0] / length)
    return (u - corner[0]) * normal[0] + (v - corner[1]) * normal[1]


def _mirrored(u: Tensor, v: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Reflect the points on the far side of a line through the center; `angle` is that of its normal."""
    across = (math.cos(angle), math.sin(angle))
    over = (u * across[0] + v * across[1]).clamp_(min=0.0).mul_(2.0)
    return u - over * across[0], v - over * across[1]
