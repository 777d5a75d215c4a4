"""What changes over a run, as pure functions of the step (counted from 0): there is nothing to save or to restore."""

import math
from typing import Literal, TypeAlias

Shape: TypeAlias = Literal["constant", "cosine"]


def rate(shape: Shape, step: int, steps: int, warmup: int, floor: float) -> float:
    """The share of the full learning rate at this step: a line up over `warmup` steps, then level or down to `floor`.

    The cosine reaches the floor at the last of `steps`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if shape == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def averaging_decay(decay: float, step: int) -> float:
    """How much of the average stays at this step: short at first, so that it forgets the random beginning."""
    return min(decay, (1 + step) / (10 + step))


def every(interval: int, step: int) -> bool:
    """Whether something that happens each `interval` steps happens after so many; an interval of 0 means never."""
    return interval > 0 and step > 0 and step % interval == 0
