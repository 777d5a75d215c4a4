"""What changes over the steps of a latent frame: the number of masked tokens and the guidance scale."""

import math
from collections.abc import Callable
from functools import lru_cache

from sampling.config import Ramp, Schedule

MASKED: dict[Schedule, Callable[[float], float]] = {  # share of masked tokens, by the share of steps done
    "cosine": lambda done: math.cos(math.pi / 2 * done),
    "linear": lambda done: 1 - done,
    "arccos": lambda done: math.acos(done) / (math.pi / 2),
    "square": lambda done: 1 - done**2,
}
RAMPS: dict[Ramp, Callable[[float], float]] = {  # share of the guidance, by the share of steps done
    "constant": lambda done: 1.0,
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
}


@lru_cache(maxsize=1024)
def masked_after(schedule: Schedule, tokens: int, steps: int) -> tuple[int, ...]:
    """How many tokens are still masked after each step; each step reveals at least one, the last one all."""
    if not 0 <= steps <= tokens:
        raise ValueError(f"steps = {steps} must lie between 0 and the number of tokens, {tokens}")
    masked, left = [], tokens
    for step in range(1, steps + 1):
        target = round(tokens * MASKED[schedule](step / steps))
        left = max(min(target, left - 1), steps - step)
        masked.append(left)
    return tuple(masked)


def scale_at(ramp: Ramp, scale: float, step: int, steps: int) -> float:
    """The guidance scale of step number `step` (from 0); the last step has the full scale."""
    done = step / (steps - 1) if steps > 1 else 1.0
    return 1 + (scale - 1) * RAMPS[ramp](done)


def is_within(start: float, end: float, step: int, steps: int) -> bool:
    """Whether the middle of step number `step` (from 0) lies between these shares of the steps."""
    return steps <= 0 or start <= (step + 0.5) / steps <= end
