"""Scenes of the playroom, one or two things that move over a background, and how they are sampled.

Lengths are in sides of the frame, times in seconds, angles in turns. A caption tells the words of a `Thing` and a
`Backdrop`, and the oracle reads them; the numbers (place, direction, phase) are free.

Everything in a scene is visible: circles and rings do not spin, two things never share a color, and in the first two
seconds two things are apart for most of the time. Drifting things leave on one side and enter on the other at the same
time, so nothing is ever out of sight; growing and shrinking start over once a cycle.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

SHAPES = ("circle", "square", "triangle", "ring", "star")
COLOURS = {
    "red": (226, 36, 40),
    "orange": (250, 146, 26),
    "yellow": (248, 236, 60),
    "green": (46, 200, 74),
    "cyan": (64, 216, 226),
    "blue": (64, 104, 250),
    "pink": (252, 122, 204),
    "white": (246, 246, 246),
}
SIZES = {"small": 0.095, "medium": 0.14, "large": 0.205}
MOTIONS = ("left", "right", "up", "down", "bounces", "circles", "spins", "grows", "shrinks", "still")
SPEEDS = ("slowly", "quickly")
PATTERNS = ("plain", "gradient", "checkered")
GROUNDS = {
    "black": (10, 10, 12),
    "dark blue": (20, 28, 92),
    "dark green": (14, 66, 36),
    "maroon": (92, 16, 30),
    "grey": (104, 106, 112),
    "brown": (98, 60, 26),
}

DRIFT = {
    "slowly": 0.2,
    "quickly": 0.56,
}  # sides a second: 1.6 and 4.5 pixels a frame at 64 pixels and 8 frames a second
ORBIT = {"slowly": 0.25, "quickly": 0.7}  # turns a second
ORBIT_RADIUS = 0.19
SPIN = {"slowly": 0.11, "quickly": 0.36}  # turns a second
CYCLE = {"slowly": 0.5, "quickly": 1.1}  # cycles of growth a second
GROWTH = (0.6, 1.4)  # times the size, at the start and the end of a cycle
NEVER_SPIN = ("circle", "ring")
JUDGED_SECONDS = 2.0  # within which a new scene must show everything


@dataclass(frozen=True)
class Thing:
    """A thing in words, and the start of its motion: place, heading and phase, all in 0..1.

    The speed is None for things that stay still, and where a caption does not say it.
    """

    shape: str
    colour: str
    size: str
    motion: str
    speed: str | None
    place: tuple[float, float] = (0.5, 0.5)
    heading: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        for value, known in ((self.shape, SHAPES), (self.colour, COLOURS), (self.size, SIZES), (self.motion, MOTIONS)):
            if value not in known:
                raise ValueError(f"'{value}' is not one of {', '.join(known)}")
        if self.speed is not None and (self.speed not in SPEEDS or self.motion == "still"):
            raise ValueError(f"'{self.speed}' does not go with '{self.motion}'")
        if self.motion == "spins" and self.shape in NEVER_SPIN:
            raise ValueError(f"a {self.shape} that spins looks like one that does not")

    def words(self) -> "Thing":
        """The thing without numbers, for comparisons."""
        return Thing(self.shape, self.colour, self.size, self.motion, self.speed)


@dataclass(frozen=True)
class Backdrop:
    """The background: a pattern and its color."""

    pattern: str
    colour: str


@dataclass(frozen=True)
class Scene:
    """Things over a backdrop; the first is in front."""

    things: tuple[Thing, ...]
    backdrop: Backdrop

    def words(self) -> "Scene":
        """The scene without numbers, for comparisons."""
        return replace(self, things=tuple(thing.words() for thing in self.things))


def sample_scenes(
    count: int,
    seed: int,
    start: int = 0,
    things: tuple[int, ...] = (1, 2),
    held_out_pairs: Collection[tuple[str, str]] = (),
) -> list[Scene]:
    """Scenes `start` to `start + count` of an endless list; each is a function of (seed, its number) alone.

    `held_out_pairs` are pairs of color and shape that never occur.
    """
    return [_sample(np.random.default_rng([seed, start + number]), things, held_out_pairs) for number in range(count)]


def _sample(rng: np.random.Generator, things: tuple[int, ...], held_out: Collection[tuple[str, str]]) -> Scene:
    backdrop = Backdrop(str(rng.choice(PATTERNS)), str(rng.choice(list(GROUNDS))))
    count = int(rng.choice(things))
    while True:
        colours = rng.permutation(list(COLOURS))[:count]
        chosen = tuple(_sample_thing(rng, str(colour), held_out) for colour in colours)
        if count == 1 or _apart(chosen[0], chosen[1]):
            return Scene(chosen, backdrop)


def _sample_thing(rng: np.random.Generator, colour: str, held_out: Collection[tuple[str, str]]) -> Thing:
    motion = str(rng.choice(MOTIONS))
    shapes = [
        shape for shape in SHAPES if (colour, shape) not in held_out and not (motion == "spins" and shape in NEVER_SPIN)
    ]
    size = str(rng.choice(list(SIZES)))
    speed = None if motion == "still" else str(rng.choice(SPEEDS))
    return Thing(
        str(rng.choice(shapes)),
        colour,
        size,
        motion,
        speed,
        (float(rng.random()), float(rng.random())),
        float(rng.random()),
        float(rng.random()),
    )


def _apart(front: Thing, back: Thing) -> bool:
    """Whether two things are apart for three quarters of the first two seconds."""
    seconds = np.arange(17) / 16 * JUDGED_SECONDS
    (x1, y1, r1, _), (x2, y2, r2, _) = pose(front, seconds), pose(back, seconds)
    dx, dy = np.abs(x1 - x2), np.abs(y1 - y2)
    if DRIFTS & {front.motion, back.motion}:  # they cross the borders of the frame
        dx, dy = np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy)
    return bool((np.hypot(dx, dy) > 1.15 * (r1 + r2)).mean() >= 0.75)


DRIFTS = frozenset(("left", "right", "up", "down"))
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
Pose = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def pose(thing: Thing, seconds: NDArray[np.float64]) -> Pose:
    """A thing at given times: x, y in 0..1, radius in sides, orientation in turns."""
    size = SIZES[thing.size]
    reach = size * (GROWTH[1] if thing.motion in ("grows", "shrinks") else 1.0) * 1.12
    still = np.zeros_like(seconds)
    x, y = (reach + (1 - 2 * reach) * place + still for place in thing.place)
    radius, turn = size + still, still
    if thing.motion == "still" or thing.speed is None:
        return x, y, radius, turn
    if thing.motion in DRIFTS:
        along, across = DIRECTIONS[thing.motion]
        way = DRIFT[thing.speed] * seconds
        return (x + along * way) % 1.0, (y + across * way) % 1.0, radius, turn
    if thing.motion == "bounces":
        quarter, within = divmod(thing.heading * 4, 1)  # never along an axis, which would look like drifting
        slant = math.pi / 2 * (quarter + 0.3 + 0.4 * within)
        way = DRIFT[thing.speed] * seconds
        x = _between_walls(thing.place[0], math.cos(slant) * way, reach)
        y = _between_walls(thing.place[1], math.sin(slant) * way, reach)
        return x, y, radius, turn
    if thing.motion == "circles":
        room = reach + ORBIT_RADIUS
        sense = 1 if thing.heading < 0.5 else -1
        angle = 2 * np.pi * (thing.phase + sense * ORBIT[thing.speed] * seconds)
        middle_x, middle_y = (room + (1 - 2 * room) * place for place in thing.place)
        return middle_x + ORBIT_RADIUS * np.cos(angle), middle_y + ORBIT_RADIUS * np.sin(angle), radius, turn
    if thing.motion == "spins":
        sense = 1 if thing.heading < 0.5 else -1
        return x, y, radius, thing.phase + sense * SPIN[thing.speed] * seconds
    cycle = (thing.phase + CYCLE[thing.speed] * seconds) % 1.0
    cycle = cycle if thing.motion == "grows" else 1.0 - cycle
    return x, y, size * (GROWTH[0] + (GROWTH[1] - GROWTH[0]) * cycle), turn


def _between_walls(place: float, way: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Back and forth between the walls at constant speed: a triangle wave."""
    room = 1 - 2 * reach
    unfolded = (place * room + way) % (2 * room)
    return reach + np.where(unfolded < room, unfolded, 2 * room - unfolded)
