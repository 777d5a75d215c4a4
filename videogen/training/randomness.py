"""Chance as a pure function of (seed, purpose, step, process): no random state has to be saved, none can be lost.

Every step begins from seeds of its own. So looking at samples or validating in between changes nothing, and a run
that is resumed, on any machine, draws what it would have drawn.
"""

import hashlib
import random
from typing import Literal, TypeAlias

import numpy as np
import torch

Purpose: TypeAlias = Literal["weights", "step", "validation", "samples"]


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
