"""Sums of the metrics of one step, and of the steps since the last line of the log."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from videogen.training.loop.stage import Json, LossOutput

Sums = dict[str, tuple[float, int]]
RENAMED = {  # names in state.json of checkpoints written before version 2
    "held": "alarm_counts",
    "bad": "nonfinite_keys",
    "trained": "training_metric",
    "overfit": "overfit_count",
}


class StepMetrics:
    """The losses and metrics of a step, summed over micro-batches. `means` is the first to wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._losses: list[tuple[tuple[str, ...], Tensor]] = []
        self.modules: list[str] = []

    def add_output(self, output: LossOutput, keys: tuple[str, ...]) -> None:
        if output.module not in self.modules:
            self.modules.append(output.module)
        self._losses.append((keys, output.loss.detach()))
        for name, value in {**output.metrics, f"total/{output.module}": output.loss}.items():
            self.add(name, value)

    def add(self, name: str, value: Tensor) -> None:
        value = value.detach().float()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] = self._counts.get(name, 0) + 1

    def means(self, stop: bool, mean: Callable[[Tensor], Tensor]) -> tuple[dict[str, float], bool]:
        """Each metric averaged over micro-batches and processes, and whether any process was asked to stop."""
        names = sorted(self._sums)
        here = torch.stack([self._sums[name].reshape(()) for name in names]).cpu().double()
        counts = torch.tensor([self._counts[name] for name in names], dtype=torch.float64)
        *values, stops = mean(torch.cat([here / counts, torch.tensor([float(stop)], dtype=torch.float64)])).tolist()
        return dict(zip(names, values, strict=True)), stops > 0

    def nonfinite_keys(self) -> list[str]:
        """The clips of this process's micro-batches whose loss is not finite."""
        return unique(keys for keys, loss in self._losses if not bool(loss.isfinite()))

    def keys(self) -> list[str]:
        """The clips of all micro-batches of this process."""
        return unique(keys for keys, _ in self._losses)


@dataclass
class Progress:
    """The state of a run that is not a tensor; saved as JSON."""

    step: int = 0
    position: Json = field(default_factory=dict)
    sums: Sums = field(default_factory=dict)  # since the last line of the log: name -> (sum, count)
    skipped: int = 0  # steps since the last line of the log
    alarm_counts: dict[str, int] = field(default_factory=dict)  # consecutive lines of the log with this alarm
    nonfinite_keys: list[list[str]] = field(default_factory=list)  # the clips of each consecutive non-finite step
    training_metric: float | None = None  # the monitored training metric in the last line of the log
    best: Json | None = None  # a `BestModel`
    overfit_count: int = 0  # consecutive validations that were overfit

    @classmethod
    def from_json(cls, state: Json) -> "Progress":
        return cls(**{RENAMED.get(name, name): value for name, value in state.items()})

    def add(self, means: Mapping[str, float]) -> None:
        for name, value in means.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)

    def pop_means(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


def unique(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(key for keys in groups for key in keys))


def nonfinite(means: Mapping[str, float]) -> list[str]:
    return [name for name, value in means.items() if not math.isfinite(value)]


def shorten(keys: Iterable[str], most: int = 12) -> str:
    keys = list(dict.fromkeys(keys))
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + rest
