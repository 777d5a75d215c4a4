"""What a clip shows, read from its pixels alone: it never sees the scene, and judges what a model made as well.

In this order: the backdrop that explains most pixels; the colours that explain the rest, by unmixing each pixel into
backdrop and palette; for each colour a soft mask, its place, area and outline; the shape by comparison with templates
brought to the same size; the motion by fitting the few laws of motion that the playroom has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videogen.playroom.motion import Track, read_motion
from videogen.playroom.outline import read_outlines
from videogen.playroom.render import backdrop_picture
from videogen.playroom.scene import COLOURS, GROUNDS, PATTERNS, SIZES, Backdrop, Scene, Thing

AT_ONCE = 16  # clips
FEWEST_PIXELS = 0.004  # of the picture: less than half of the smallest thing at its smallest
CAP = 60.0  # a pixel that no backdrop explains counts like this difference in colour


@dataclass(frozen=True)
class Seen:
    """What the oracle saw: a scene in words, and how much of the picture each thing takes up on average."""

    scene: Scene
    areas: tuple[float, ...]


def look(clips: Tensor | NDArray[np.uint8], fps: float = 8.0) -> list[Seen]:
    """What each clip of uint8 [B, T, H, W, 3] shows; at most the two colours that take up most of the picture."""
    pixels = torch.as_tensor(clips)
    return [seen for first in range(0, len(pixels), AT_ONCE) for seen in _look(pixels[first : first + AT_ONCE], fps)]


def _look(clips: Tensor, fps: float) -> Iterator[Seen]:
    pixels = clips.permute(0, 4, 1, 2, 3).float()  # [B, 3, T, H, W]
    backdrops = _backdrops(pixels)
    ground = torch.stack([backdrop_picture(backdrop, pixels.shape[-1]) for backdrop in backdrops])[:, :, None]
    masks = _masks(pixels, ground.to(pixels.device))  # [B, colours, T, H, W]
    share = masks.mean((2, 3, 4))
    for number, backdrop in enumerate(backdrops):
        strongest = share[number].argsort(descending=True)[:2].tolist()
        found = [colour for colour in strongest if share[number, colour] > FEWEST_PIXELS]
        things = _things(masks[number, found], [list(COLOURS)[colour] for colour in found], fps) if found else ()
        yield Seen(Scene(tuple(things), backdrop), tuple(share[number, found].tolist()))


def _backdrops(pixels: Tensor) -> list[Backdrop]:
    """The backdrop of each clip with the least capped difference to all of its frames."""
    size = pixels.shape[-1]
    known = [Backdrop(pattern, colour) for pattern in PATTERNS for colour in GROUNDS]
    typical = pixels.median(dim=2).values if pixels.shape[2] > 1 else pixels[:, :, 0]
    cost = [
        (typical - backdrop_picture(backdrop, size).to(pixels.device)).abs().sum(1).clamp(max=CAP).mean((1, 2))
        for backdrop in known
    ]
    return [known[index] for index in torch.stack(cost).argmin(0).tolist()]


def _masks(pixels: Tensor, ground: Tensor) -> Tensor:
    """How much of each pixel each colour of the palette covers, [B, colours, T, H, W] in 0..1.

    pixel = ground + cover (colour - ground) is solved for every colour; the colour that leaves the least takes it.
    """
    palette = torch.tensor(list(COLOURS.values()), device=pixels.device).float()
    difference = pixels - ground
    strength = difference.square().sum(1)  # what is left if nothing is there
    toward = torch.einsum("kc,bcthw->kbthw", palette, difference) - (difference * ground).sum(1)
    length = palette.square().sum(1)[:, None, None, None, None] + ground.square().sum(1)
    length = length - 2 * torch.einsum("kc,bcthw->kbthw", palette, ground)
    amount = (toward / length).clamp_(0.0, 1.0)
    gain, owner = (amount * (2 * toward - amount * length)).max(dim=0)  # how much less is left with the best colour
    cover = amount.gather(0, owner[None])[0]
    visible = (strength > 900.0) & (cover > 0.2) & (gain > 0)
    return torch.zeros_like(amount).scatter_(0, owner[None], torch.where(visible, cover, 0.0)[None]).transpose(0, 1)


def _things(masks: Tensor, colours: list[str], fps: float) -> Iterator[Thing]:
    """What is in each of the masks [things, T, H, W]."""
    for number, colour in enumerate(colours):
        others = masks.sum(0) - masks[number]
        outline = read_outlines(masks[number], others)
        track = Track(outline.x, outline.y, outline.radius, outline.turn, outline.trust, outline.symmetry)
        motion, speed, radius = read_motion(track, fps, outline.shape)
        sizes = list(SIZES)
        size = sizes[int(np.abs(np.log(np.array(list(SIZES.values())) / max(radius, 1e-3))).argmin())]
        yield Thing(outline.shape, colour, size, motion, speed)
