"""What changes over a run, as pure functions of the step (counted from 0): there is nothing to save or to restore."""

import hashlib
import math
import random
from typing import Literal, TypeAlias

import numpy as np
import torch

Shape: TypeAlias = Literal["constant", "cosine"]
Purpose: TypeAlias = Literal["weights", "step", "validation", "samples"]


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


def seed_everything(seed: int, purpose: Purpose, step: int = 0, process: int = 0) -> None:
    """Sets the global generators of python, NumPy and torch (CPU and GPUs)."""
    word = seed_for(seed, purpose, step, process)
    random.seed(word)
    np.random.seed(word % 2**32)
    torch.manual_seed(word)


def seed_for(seed: int, purpose: Purpose, step: int, process: int) -> int:
    """A number in 0 .. 2^63 - 1; other arguments give other, independent numbers."""
    digest = hashlib.sha256(f"{seed} {purpose} {step} {process}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
