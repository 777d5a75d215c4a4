"""How many steps a variant may take for the CPU time of the recipe.

A variant is timed in a throwaway run before it is trained, and its number of steps is fixed: so its training is an
ordinary one, deterministic and resumable, with a learning rate that reaches its end. Other programs change how fast a
machine is, by half where cores share their units; so the recipe's own base is timed just before and just after, and
what counts is the ratio, at the speed that the base had when the lab began.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videogen.training.tokenizer.config import TokenizerTrainingConfig

TimedRun = Callable[[Path, "StepClock"], object]  # trains in this new folder, and calls the clock with each step


@dataclass(frozen=True)
class Calibration:
    """Median CPU milliseconds of a step of the base and of a variant, measured together."""

    base_ms: float
    variant_ms: float

    def ms_per_step(self, base_ms: float) -> float:
        """Of the variant, at the speed at which a step of the base takes `base_ms`."""
        return self.variant_ms / self.base_ms * base_ms


def steps_for(cpu_seconds: float, ms_per_step: float) -> int:
    return max(1, round(1000 * cpu_seconds / ms_per_step))


class StepClock:
    """Called with each step: the CPU time of the process, all of its threads, from one step to the next."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def __call__(self, done: int, total: int) -> None:
        self.ticks.append(time.process_time())

    def median_ms(self) -> float:
        """Without the first steps, which allocate, and the last, which validates and saves; 0 for one step."""
        spent = [1000 * (after - before) for before, after in pairwise(self.ticks)]
        steady = spent[len(spent) // 4 : -1] or spent
        return statistics.median(steady) if steady else 0.0


def calibrate(base: TimedRun, own: TimedRun, folder: Path) -> Calibration:
    """Time both in throwaway runs below `folder`: the base, the variant, and the base again."""
    before, variant, after = (time_run(run, folder) for run in (base, own, base))
    return Calibration((before + after) / 2, variant)


def time_run(run: TimedRun, folder: Path) -> float:
    clock = StepClock()
    with TemporaryDirectory(prefix=".calibration_", dir=folder) as place:
        run(Path(place) / "run", clock)
    return clock.median_ms()


def tokenizer_run(config: "TokenizerTrainingConfig", steps: int) -> TimedRun:
    """A few steps of a tokenizer, with next to no validation."""
    from videogen.training.tokenizer.run import run_tokenizer

    data = replace(config.data, validation_clips=1)
    training = replace(config.training, steps=steps, validate_every=0, sample_every=0, checkpoint_every=0)
    short = replace(config, data=data, training=training)
    return lambda folder, clock: run_tokenizer(short, folder, False, on_progress=clock)
