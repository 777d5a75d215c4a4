"""The best a run has been by its validation, and whether it has begun to learn its clips by heart since."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE = 3  # checks in a row that an alarm must hold; early in training some are right for a moment
MARGIN = 0.01  # of the best figure: less than this is chance

OnAlarm = Callable[[str, str], None]


@dataclass(frozen=True)
class Judged:
    """What a stage is judged by: a figure of its validation, and a term of its log that falls as clips are learned."""

    figure: str
    term: str
    lower_is_better: bool


@dataclass(frozen=True)
class Best:
    """The figure and its step; `trained` is what the term of the log was then, where there was one."""

    step: int
    value: float
    trained: float | None


def is_better(judged: Judged, value: float, best: Best | None) -> bool:
    return best is None or (value < best.value if judged.lower_is_better else value > best.value)


def is_overfit(judged: Judged, value: float, trained: float | None, best: Best) -> bool:
    """Worse on clips that are never trained on, and yet better on those that are; a rate too high is worse on both."""
    away = (value - best.value) if judged.lower_is_better else (best.value - value)
    if trained is None or best.trained is None:
        return False
    return away > MARGIN * abs(best.value) and trained < best.trained


def words_for(judged: Judged, value: float, best: Best, place: object) -> str:
    return (
        f"{judged.figure} of validation was {best.value:.4g} at step {best.step} and is {value:.4g}, while training "
        f"goes on falling: the run learns its clips by heart. The model of that step is in {place}; more different "
        "clips help, more steps do not"
    )


def after_a_look(held: Mapping[str, int], alarms: Mapping[str, str | None], on_alarm: OnAlarm) -> dict[str, int]:
    """For how many looks each alarm has held, now that these spoke (a message) or did not (None)."""
    now = {name: held.get(name, 0) + 1 for name, message in alarms.items() if message is not None}
    for name, looks in now.items():
        if looks == PATIENCE:
            on_alarm(name, str(alarms[name]))
    return now
