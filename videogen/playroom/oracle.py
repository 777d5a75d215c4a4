"""Read a clip from its pixels alone, without the scene: rendered clips and those of a model alike.

In this order: the backdrop that explains most pixels; the colors that explain the rest, by unmixing each pixel into
backdrop and palette; for each color a soft mask with its place, area and outline; the shape by comparison with
templates of the same size; the motion by fitting the laws of motion of the playroom.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from videogen.playroom.motion import Track, read_motion
from videogen.playroom.outline import read_outlines
from videogen.playroom.render import backdrop_image
from videogen.playroom.scene import COLOURS, GROUNDS, PATTERNS, SIZES, Backdrop, Scene, Thing

AT_ONCE = 16  # clips
FEWEST_PIXELS = 0.004  # of the frame: less than half of the smallest thing at its smallest
FAINT = 900.0  # squared color differences below this are noise
CAP = 60.0  # largest color difference that a pixel counts for a backdrop


@dataclass(frozen=True)
class Seen:
    """The scene that the oracle saw, and the mean share of the frame that each thing covers."""

    scene: Scene
    areas: tuple[float, ...]


def look(clips: Tensor | NDArray[np.uint8], fps: float = 8.0) -> list[Seen]:
    """What each clip of uint8 [B, T, H, W, 3] shows; at most the two colors that cover most of the frame."""
    pixels = torch.as_tensor(clips)
    return [seen for first in range(0, len(pixels), AT_ONCE) for seen in _look(pixels[first : first + AT_ONCE], fps)]


def _look(clips: Tensor, fps: float) -> Iterator[Seen]:
    pixels = clips.permute(0, 4, 1, 2, 3).float()  # [B, 3, T, H, W]
    backdrops = _backdrops(pixels)
    ground = torch.stack([backdrop_image(backdrop, pixels.shape[-1]) for backdrop in backdrops])[:, :, None]
    cover, gain = _unmixed(pixels, ground.to(pixels.device))
    for number, backdrop in enumerate(backdrops):
        colours = _colours(cover[:, number], gain[:, number])
        masks = _masks(cover[colours, number], gain[colours, number])
        things = _things(masks, [list(COLOURS)[colour] for colour in colours], fps)
        yield Seen(Scene(tuple(things), backdrop), tuple(masks.mean((1, 2, 3)).tolist()))


def _backdrops(pixels: Tensor) -> list[Backdrop]:
    """The backdrop of each clip with the least capped difference to all of its frames."""
    size = pixels.shape[-1]
    known = [Backdrop(pattern, colour) for pattern in PATTERNS for colour in GROUNDS]
    typical = pixels.median(dim=2).values if pixels.shape[2] > 1 else pixels[:, :, 0]
    cost = [
        (typical - backdrop_image(backdrop, size).to(pixels.device)).abs().sum(1).clamp(max=CAP).mean((1, 2))
        for backdrop in known
    ]
    return [known[index] for index in torch.stack(cost).argmin(0).tolist()]


def _unmixed(pixels: Tensor, ground: Tensor) -> tuple[Tensor, Tensor]:
    """How much of each pixel each color of the palette would cover, and how much that explains.

    pixel = ground + cover (color - ground) is solved for every color alone: cover in 0..1, and the decrease of the
    squared difference to the pixel, both [colors, B, T, H, W].
    """
    palette = torch.tensor(list(COLOURS.values()), device=pixels.device).float()
    difference = pixels - ground
    toward = torch.einsum("kc,bcthw->kbthw", palette, difference) - (difference * ground).sum(1)
    length = palette.square().sum(1)[:, None, None, None, None] + ground.square().sum(1)
    length = length - 2 * torch.einsum("kc,bcthw->kbthw", palette, ground)
    cover = (toward / length).clamp_(0.0, 1.0)
    return cover, cover * (2 * toward - cover * length)


def _colours(cover: Tensor, gain: Tensor) -> list[int]:
    """At most two colors of solid things, the larger first; edges blurred by a codec are thin."""
    best, owner = gain.max(dim=0)
    solid = torch.stack([_core((owner == k) & (cover[k] > 0.5) & (best > FAINT)) for k in range(len(COLOURS))])
    share = solid.mean((1, 2, 3))
    return [k for k in share.argsort(descending=True)[:2].tolist() if share[k] > FEWEST_PIXELS]


def _masks(cover: Tensor, gain: Tensor) -> Tensor:
    """Soft masks [things, T, H, W] of the colors; a pixel belongs to a color whose core is near."""
    if len(cover) == 0:
        return cover
    best, owner = gain.max(dim=0)
    cores = torch.stack([_core((owner == k) & (cover[k] > 0.5) & (best > FAINT)) for k in range(len(cover))])
    near = functional.max_pool2d(cores, 5, 1, 2) > 0
    best, owner = torch.where(near, gain, 0.0).max(dim=0)
    visible = (best > FAINT) & (cover.gather(0, owner[None])[0] > 0.2)
    return torch.stack([cover[k] * ((owner == k) & visible) for k in range(len(cover))])


def _core(mask: Tensor) -> Tensor:
    """1 where a pixel [T, H, W] is in a 2 x 2 square inside the mask, so that thin lines vanish."""
    squares = -functional.max_pool2d(-mask.float(), 2, 1)
    return functional.max_pool2d(functional.pad(squares, (1, 1, 1, 1)), 2, 1)


def _things(masks: Tensor, colours: list[str], fps: float) -> Iterator[Thing]:
    """The thing in each of the masks [things, T, H, W]."""
    for number, colour in enumerate(colours):
        others = masks.sum(0) - masks[number]
        outline = read_outlines(masks[number], others)
        track = Track(outline.x, outline.y, outline.radius, outline.turn, outline.trust, outline.symmetry)
        motion, speed, radius = read_motion(track, fps, outline.shape)
        sizes = list(SIZES)
        size = sizes[int(np.abs(np.log(np.array(list(SIZES.values())) / max(radius, 1e-3))).argmin())]
        yield Thing(outline.shape, colour, size, motion, speed)
