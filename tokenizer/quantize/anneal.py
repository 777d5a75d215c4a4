"""Numbers that change while a quantizer is trained, such as temperatures."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Anneal:
    """From `start` to `end` over the first `steps` steps of training; from then on it stays at `end`."""

    start: float
    end: float
    steps: int
    shape: Literal["linear", "cosine", "exponential"] = "exponential"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps = {self.steps} must be at least 1")
        if min(self.start, self.end) < 0 or (self.shape == "exponential" and min(self.start, self.end) == 0):
            name = "start" if self.start <= self.end else "end"
            least = "positive, because its shape is exponential" if self.shape == "exponential" else "at least 0"
            raise ValueError(f"{name} = {getattr(self, name):g} must be {least}")

    def at(self, step: int) -> float:
        """The value at this step, counted from 0."""
        share = min(step / self.steps, 1.0)
        if self.shape == "exponential":
            return self.start * math.pow(self.end / self.start, share)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share


def check_cooling(name: str, schedule: Anneal) -> None:
    """ValueError for a temperature that rises: a soft assignment has to become harder, because tokens are hard."""
    if schedule.end > schedule.start:
        raise ValueError(f"{name} ends at {schedule.end:g}, above its start, {schedule.start:g}; it has to fall")
