"""The trackers of a run: TensorBoard where it is installed, and the services that the configuration names."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from videogen.training.records.run_folder import OnNote, RunFolder
from videogen.training.records.services import TRACKERS, Service
from videogen.training.records.tensorboard import TensorBoardWriter, is_installed
from videogen.training.records.tracker import BackgroundTracker


def open_trackers(
    services: Sequence[Service], run: RunFolder, config: Mapping[str, Any], step: int, on_note: OnNote
) -> list[BackgroundTracker]:
    """Of a run that has done `step` steps; each opens in its own thread."""
    found = []
    if is_installed():
        found.append(BackgroundTracker("tensorboard", partial(TensorBoardWriter, run.events, step + 1), on_note))
    for name in dict.fromkeys(services):
        found.append(BackgroundTracker(name, partial(TRACKERS[name], run.path, config), on_note))
    return found
