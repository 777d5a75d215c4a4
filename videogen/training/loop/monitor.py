"""Watches a run: the best model by validation, overfitting, and alarms that persist."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE = 3  # consecutive checks before an alarm fires; early in training some are true for a moment
MARGIN = 0.01  # of the best value: smaller differences are noise

OnAlarm = Callable[[str, str], None]


@dataclass(frozen=True)
class MonitoredMetric:
    """The validation metric that selects the best model, and the training metric that falls when a run overfits."""

    validation: str
    training: str
    lower_is_better: bool


@dataclass(frozen=True)
class BestModel:
    """The step and value of the best validation so far; `trained` is the training metric of that time, if known."""

    step: int
    value: float
    trained: float | None


def is_better(metric: MonitoredMetric, value: float, best: BestModel | None) -> bool:
    return best is None or (value < best.value if metric.lower_is_better else value > best.value)


def is_overfit(metric: MonitoredMetric, value: float, trained: float | None, best: BestModel) -> bool:
    """Validation is worse than the best while training is better. A learning rate too high makes both worse."""
    loss = (value - best.value) if metric.lower_is_better else (best.value - value)
    if trained is None or best.trained is None:
        return False
    return loss > MARGIN * abs(best.value) and trained < best.trained


def overfitting_message(metric: MonitoredMetric, value: float, best: BestModel, place: object) -> str:
    return (
        f"validation {metric.validation} was {best.value:.4g} at step {best.step} and is {value:.4g}, while the "
        f"training loss still falls: the run overfits. The model of step {best.step} is in {place}; more different "
        "clips help, more steps do not"
    )


def debounce(counts: Mapping[str, int], alarms: Mapping[str, str | None], on_alarm: OnAlarm) -> dict[str, int]:
    """Fires an alarm once, after PATIENCE consecutive checks; returns each alarm's new count of checks."""
    now = {name: counts.get(name, 0) + 1 for name, message in alarms.items() if message is not None}
    for name, count in now.items():
        if count == PATIENCE:
            on_alarm(name, str(alarms[name]))
    return now
