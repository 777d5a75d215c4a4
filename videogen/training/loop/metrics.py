"""What one step, and the steps since the last line of the log, add up to."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from videogen.training.loop.stage import Json, Turn

Sums = dict[str, tuple[float, int]]


class StepTally:
    """The turns of a step, micro-batch by micro-batch; nothing is read from the device before `means`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._totals: list[tuple[tuple[str, ...], Tensor]] = []
        self.players: list[str] = []

    def take(self, turn: Turn, keys: tuple[str, ...]) -> None:
        if turn.player not in self.players:
            self.players.append(turn.player)
        self._totals.append((keys, turn.total.detach()))
        for name, value in {**turn.terms, f"total/{turn.player}": turn.total}.items():
            self.add(name, value)

    def add(self, name: str, value: Tensor) -> None:
        value = value.detach().float()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] = self._counts.get(name, 0) + 1

    def means(self, stop: bool, mean: Callable[[Tensor], Tensor]) -> tuple[dict[str, float], bool]:
        """Each number over micro-batches and processes, and whether any process was asked to stop."""
        names = sorted(self._sums)
        here = torch.stack([self._sums[name].reshape(()) for name in names]).cpu().double()
        counts = torch.tensor([self._counts[name] for name in names], dtype=torch.float64)
        *values, stops = mean(torch.cat([here / counts, torch.tensor([float(stop)], dtype=torch.float64)])).tolist()
        return dict(zip(names, values, strict=True)), stops > 0

    def suspects(self) -> list[str]:
        """The keys of this process's micro-batches whose loss is not finite."""
        return unique(keys for keys, total in self._totals if not bool(total.isfinite()))

    def keys(self) -> list[str]:
        """Of all its micro-batches."""
        return unique(keys for keys, _ in self._totals)


@dataclass
class Progress:
    """How far a run has come: everything about it that is no tensor, saved as JSON."""

    step: int = 0
    position: Json = field(default_factory=dict)
    sums: Sums = field(default_factory=dict)  # since the last line of the log: name -> (sum, count)
    skipped: int = 0  # since the last line of the log
    held: dict[str, int] = field(default_factory=dict)  # alarms: for how many lines
    bad: list[list[str]] = field(default_factory=list)  # keys of each step in a row whose numbers were not finite
    trained: float | None = None  # the term that the stage is judged by, in the last line of the log
    best: Json | None = None  # a `Best`: the validation that was the best so far
    overfit: int = 0  # validations in a row since then that were overfit

    def add(self, means: Mapping[str, float]) -> None:
        for name, value in means.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)

    def taken(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


def unique(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(key for keys in groups for key in keys))


def not_finite(means: Mapping[str, float]) -> list[str]:
    return [name for name, value in means.items() if not math.isfinite(value)]


def shortened(keys: Iterable[str], most: int = 12) -> str:
    keys = list(dict.fromkeys(keys))
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + rest
