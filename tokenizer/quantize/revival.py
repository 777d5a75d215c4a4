"""Codes that are not used get a new place."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Revival:
    """Every `every` steps, dead codes are replaced.

    dead_by  count       less than `threshold` times the tokens of a code if all were used alike, on average
             unused      no token for `threshold` steps
             perplexity  the least used codes, while the perplexity is below `threshold` times the number of codes
    source   random      latents of the step
             worst       the latents of the step that are farthest from their codes
             split       the most popular codes, moved a little: they share their tokens
             reservoir   latents of many steps, each as likely as any other
    """

    dead_by: Literal["count", "unused", "perplexity"] = "count"
    threshold: float = 0.1
    source: Literal["random", "worst", "split", "reservoir"] = "random"
    every: int = 10
    decay: float = 0.9  # of the average count, a step
    reservoir: int = 4096  # latents; source: reservoir

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold = {self.threshold:g} must be positive")
        if self.dead_by == "unused" and self.threshold < 1:
            raise ValueError(f"threshold = {self.threshold:g} of dead_by: unused is a number of steps, at least 1")
        if self.dead_by != "unused" and self.threshold > 1:
            raise ValueError(f"threshold = {self.threshold:g} of dead_by: {self.dead_by} is a share, at most 1")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay = {self.decay:g} must lie in [0, 1)")
        for name in ("every", "reservoir"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
