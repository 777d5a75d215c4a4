"""What changes from step to step of a frame: how much of it is known, and how strongly the text guides."""

import math
from collections.abc import Callable
from functools import lru_cache

from sampling.config import Ramp, Schedule

MASKED: dict[Schedule, Callable[[float], float]] = {  # of the share of the steps that are done, from 1 down to 0
    "cosine": lambda done: math.cos(math.pi / 2 * done),
    "linear": lambda done: 1 - done,
    "arccos": lambda done: math.acos(done) / (math.pi / 2),
    "square": lambda done: 1 - done**2,
}
RAMPS: dict[Ramp, Callable[[float], float]] = {  # of the same, from 0 (no guidance) to 1 (all of it)
    "constant": lambda done: 1.0,
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
}


@lru_cache(maxsize=1024)
def masked_after(schedule: Schedule, tokens: int, steps: int) -> tuple[int, ...]:
    """How many of the tokens are masked still after each step; every step reveals at least one, the last all."""
    if not 0 <= steps <= tokens:
        raise ValueError(f"steps = {steps} must lie between 0 and the number of tokens, {tokens}")
    masked, left = [], tokens
    for step in range(1, steps + 1):
        wanted = round(tokens * MASKED[schedule](step / steps))
        left = max(min(wanted, left - 1), steps - step)
        masked.append(left)
    return tuple(masked)


def scale_at(ramp: Ramp, scale: float, step: int, steps: int) -> float:
    """How strongly step number `step` (from 0) is guided; the last of the steps has the full scale."""
    done = step / (steps - 1) if steps > 1 else 1.0
    return 1 + (scale - 1) * RAMPS[ramp](done)
