"""Alarms are told when they begin, once, after they have held on for a while."""

from collections.abc import Callable, Mapping

PATIENCE = 3  # looks in a row; early in training some alarms are right for a moment

OnAlarm = Callable[[str, str], None]


def after_a_look(held: Mapping[str, int], alarms: Mapping[str, str | None], on_alarm: OnAlarm) -> dict[str, int]:
    """For how many looks each alarm has held, now that these spoke (a message) or did not (None)."""
    now = {name: held.get(name, 0) + 1 for name, message in alarms.items() if message is not None}
    for name, looks in now.items():
        if looks == PATIENCE:
            on_alarm(name, str(alarms[name]))
    return now
