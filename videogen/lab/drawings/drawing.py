"""Things that move over a plain ground, as frames.

Legend: T frames, H W of a frame, h w of a stamp.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videogen.clip_spec import ClipSpec
from videogen.lab.drawings.stamps import Stamp

Color = tuple[int, int, int]
DARK, LIGHT = (0, 70), (185, 255)  # of each channel: grounds, and ink


@dataclass(frozen=True, eq=False)
class MovingStamp:
    stamp: Stamp
    places: tuple[tuple[int, int], ...]  # row and column of its corner in each frame


@dataclass(frozen=True, eq=False)
class Drawing:
    frames: NDArray[np.uint8]  # [T, H, W, 3]
    ground: Color
    things: tuple[MovingStamp, ...]

    @property
    def ink(self) -> NDArray[np.bool_]:
        """Where there is ink: bool [T, H, W]."""
        different: NDArray[np.bool_] = np.any(self.frames != np.array(self.ground), axis=-1)
        return different


def draw_things(things: Sequence[MovingStamp], spec: ClipSpec, chance: random.Random) -> Drawing:
    """The frames of all things together, in colors of chance."""
    ground, light = (tuple(chance.randint(*levels) for _ in range(3)) for levels in (DARK, LIGHT))
    ink_THW = np.zeros((spec.frames, spec.height, spec.width), np.float32)
    for thing in things:
        h, w = thing.stamp.shape
        for frame_HW, (row, column) in zip(ink_THW, thing.places, strict=True):
            part = frame_HW[row : row + h, column : column + w]
            np.maximum(part, thing.stamp, out=part)
    frames = np.array(ground) + ink_THW[..., None] * (np.array(light) - np.array(ground))
    return Drawing(frames.round().astype(np.uint8), (ground[0], ground[1], ground[2]), tuple(things))


def fits(stamp: Stamp, spec: ClipSpec) -> bool:
    h, w = stamp.shape
    return bool(h <= spec.height and w <= spec.width)


def moving(stamp: Stamp, spec: ClipSpec, speed: int, chance: random.Random) -> MovingStamp:
    """A thing that starts anywhere and moves along rows or columns, `speed` pixels a frame; borders throw it back."""
    assert fits(stamp, spec), f"{stamp.shape} in {spec}"
    rooms = [side - own for side, own in zip((spec.height, spec.width), stamp.shape, strict=True)]
    start, axis, sign = [chance.randint(0, room) for room in rooms], chance.randrange(2), chance.choice((-1, 1))
    steps = [[sign * speed * frame if number == axis else 0 for number in (0, 1)] for frame in range(spec.frames)]
    places = [[thrown_back(start[i] + step[i], rooms[i]) for i in (0, 1)] for step in steps]
    return MovingStamp(stamp, tuple((row, column) for row, column in places))


def thrown_back(place: int, room: int) -> int:
    """Where in 0..room a place beyond the border is reflected to."""
    if room == 0:
        return 0
    place %= 2 * room
    return min(place, 2 * room - place)
