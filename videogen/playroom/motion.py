"""The motion of one thing from its track: the law of motion that fits best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videogen.playroom.scene import CYCLE, DRIFT, DRIFTS, GROWTH, ORBIT, ORBIT_RADIUS, SPEEDS, SPIN

Array = NDArray[np.float64]
STILL = 0.02  # sides: apparent movement of a thing at rest
GROWS = 0.13  # relative spread of the radius above which a thing changes its size


@dataclass(frozen=True)
class Track:
    """A thing in each frame, from `Outline`; a turn by 1 / `symmetry` looks like no turn."""

    x: Array
    y: Array
    radius: Array
    turn: Array
    trust: Array
    symmetry: int


def read_motion(track: Track, fps: float, shape: str) -> tuple[str, str | None, float]:
    """(motion, speed, size): the size is the radius halfway through growth, in sides of the frame."""
    good = track.trust > 0
    radius = float(np.median(track.radius[good]))
    spread = float(track.radius[good].std() / radius) if radius > 0 else 0.0
    if spread > GROWS:
        motion, speed = _growth(track.radius, good, fps)
        middle = (GROWTH[0] + GROWTH[1]) / 2
        low, high = np.percentile(track.radius[good], (5, 95))
        return motion, speed, float((low + high) / 2 / middle)
    x, y = _unwrapped(track.x), _unwrapped(track.y)
    seconds = np.arange(len(x)) / fps
    wander = max(float(np.ptp(x[good])), float(np.ptp(y[good])))
    if wander < STILL + 0.02:
        return (*_turning(track, good, fps), radius)
    return (*_course(seconds[good], x[good], y[good]), radius)


def _unwrapped(place: Array) -> Array:
    return np.asarray(np.unwrap(place, period=1.0))


def _growth(radius: Array, good: NDArray[np.bool_], fps: float) -> tuple[str, str]:
    """Whether the size rises or falls between its jumps, and how fast, from steps between trusted neighbors."""
    both = good[1:] & good[:-1]
    steps = np.diff(radius)[both] * fps
    middle = (np.percentile(radius[good], 5) + np.percentile(radius[good], 95)) / 2
    typical = float(np.median(steps)) if len(steps) else 0.0
    relative = abs(typical) / max(float(middle), 1e-6) / (GROWTH[1] - GROWTH[0])  # cycles a second
    return ("grows" if typical > 0 else "shrinks"), _nearest_speed(relative, CYCLE)


def _turning(track: Track, good: NDArray[np.bool_], fps: float) -> tuple[str, str | None]:
    """A thing that does not move either spins or stays still."""
    if track.symmetry == 0 or len(track.turn) < 2:
        return "still", None
    turn = np.unwrap(track.turn, period=1.0 / track.symmetry)
    both = good[1:] & good[:-1]
    steps = np.diff(turn)[both] * fps
    pace = abs(float(np.median(steps))) if len(steps) else 0.0
    return ("spins", _nearest_speed(pace, SPIN)) if pace > SPIN["slowly"] / 2 else ("still", None)


def _course(seconds: Array, x: Array, y: Array) -> tuple[str, str]:
    """The law of motion with the smallest misfit."""
    left: dict[tuple[str, str], float] = {}
    for speed in SPEEDS:
        for sense in (1, -1):
            misfit = _circle_misfit(seconds, x, y, sense * ORBIT[speed])
            left["circles", speed] = min(misfit, left.get(("circles", speed), np.inf))
    motion, speed, misfit = _straight(seconds, x, y)
    left[motion, speed] = misfit
    if motion not in DRIFTS or misfit > 0.01:
        pace = _pace(seconds, x, y)
        left["bounces", _nearest_speed(pace, DRIFT)] = _bounce_misfit(seconds, x, y)
    return min(left, key=lambda law: left[law])


def _straight(seconds: Array, x: Array, y: Array) -> tuple[str, str, float]:
    """Direction and speed along one axis, and the misfit of a straight line."""
    slope_x, slope_y = (float(np.polyfit(seconds, place, 1)[0]) for place in (x, y))
    motion = ("right" if slope_x > 0 else "left") if abs(slope_x) > abs(slope_y) else ("down" if slope_y > 0 else "up")
    along, across = (x, y) if motion in ("left", "right") else (y, x)
    fitted = np.polyval(np.polyfit(seconds, along, 1), seconds)
    misfit = np.hypot(along - fitted, across - across.mean())
    return motion, _nearest_speed(max(abs(slope_x), abs(slope_y)), DRIFT), float(np.sqrt(np.mean(misfit**2)))


def _circle_misfit(seconds: Array, x: Array, y: Array, turns: float) -> float:
    """The misfit of the best circle of the known radius at this speed."""
    angle = 2 * np.pi * turns * seconds
    position = x + 1j * y
    wheel = np.exp(1j * angle)
    basis = np.stack([np.ones_like(wheel), wheel], axis=1)
    solution = np.linalg.lstsq(basis, position, rcond=None)[0]
    phase = solution[1] / max(abs(solution[1]), 1e-9)
    rest = position - ORBIT_RADIUS * phase * wheel
    return float(np.sqrt(np.mean(np.abs(rest - rest.mean()) ** 2)))


def _pace(seconds: Array, x: Array, y: Array) -> float:
    steps = np.hypot(np.diff(x), np.diff(y)) / np.diff(seconds)
    return float(np.median(steps))


def _bounce_misfit(seconds: Array, x: Array, y: Array) -> float:
    """The misfit of constant speed on each axis with a few reversals."""
    left = 0.0
    for place in (x, y):
        steps = np.diff(place) / np.diff(seconds)
        usual = np.median(np.abs(steps))
        off = np.abs(np.abs(steps) - usual)
        left += float(np.median(off)) / max(float(usual), 0.05)
    return 0.004 + 0.05 * left


def _nearest_speed(pace: float, speeds: dict[str, float]) -> str:
    """The speed that is nearer to the pace by ratio."""
    border = float(np.sqrt(speeds["slowly"] * speeds["quickly"]))
    return "slowly" if pace < border else "quickly"
