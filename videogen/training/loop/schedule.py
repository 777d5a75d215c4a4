"""Learning rates, intervals and seeds as pure functions of the step (counted from 0), so there is no state to save.

Every step sets its own seeds. Validation and sampling therefore do not change training, and a resumed run draws the
same random numbers on any machine.
"""

import hashlib
import math
import random
from typing import Literal, TypeAlias

import numpy as np
import torch

Shape: TypeAlias = Literal["constant", "cosine"]
Purpose: TypeAlias = Literal["weights", "step", "validation", "samples"]


def lr_factor(shape: Shape, step: int, steps: int, warmup: int, floor: float) -> float:
    """The share of the full learning rate: a linear warmup, then constant or a cosine down to `floor`.

    The cosine reaches the floor at the last of `steps`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if shape == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def ema_decay(decay: float, step: int) -> float:
    """The decay of the moving average at this step: small at first, so that the average forgets the initial weights."""
    return min(decay, (1 + step) / (10 + step))


def is_due(interval: int, step: int) -> bool:
    """Whether something that happens every `interval` steps happens after this many; 0 means never."""
    return interval > 0 and step > 0 and step % interval == 0


def seed_everything(seed: int, purpose: Purpose, step: int = 0, process: int = 0) -> None:
    """Set the global generators of Python, NumPy and torch (CPU and GPUs)."""
    number = seed_for(seed, purpose, step, process)
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


def seed_for(seed: int, purpose: Purpose, step: int, process: int) -> int:
    """A number in 0 .. 2^63 - 1, independent for different arguments."""
    digest = hashlib.sha256(f"{seed} {purpose} {step} {process}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
