"""metrics.jsonl, one JSON object a line, which trackers of experiments get too."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from videogen.checkpoint import sync
from videogen.training.records.tracker import BackgroundTracker, Event


class MetricsLog:
    """Lines `{"step": ..., "kind": "train" | "validation", name: number, ...}`, one for each step and kind, in order.

    Only "speed" depends on the machine; everything else is the same however often a run was interrupted.
    """

    def __init__(self, path: Path):
        self.path = path
        self.trackers: Sequence[BackgroundTracker] = ()
        self._file: TextIO | None = None

    def rewind(self, step: int) -> None:
        """Drop the lines (whole or torn) of later steps, and open the file for appending."""
        self.close()
        raw = self.path.read_bytes() if self.path.exists() else b""
        kept = b"".join(line for line in raw.splitlines(keepends=True) if _step_of(line) <= step)
        if kept != raw:
            partial = self.path.with_name(f".{self.path.name}.partial")
            partial.write_bytes(kept)
            sync(partial)
            partial.replace(self.path)
            sync(self.path.parent)
        self._file = self.path.open("a", encoding="utf-8")

    def append(self, step: int, kind: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Write one line and return it; NaN and infinity, which JSON does not have, become null."""
        assert self._file is not None, "rewind comes first"
        line = {"step": step, "kind": kind, **{name: _finite_or_none(value) for name, value in numbers.items()}}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        self._tell(lambda tracker: tracker.add_scalars(kind, line, step))
        return line

    def add_samples(self, place: Path, step: int) -> None:
        """Show the samples in files whose names begin with `place`."""
        self._tell(lambda tracker: tracker.add_samples(place, step))

    def add_card(self, card: Path) -> None:
        """Show the model card of the finished run."""
        self._tell(lambda tracker: tracker.add_card(card))

    def _tell(self, event: Event) -> None:
        for tracker in self.trackers:
            tracker.put(event)

    def sync(self) -> None:
        """Write all lines to the disk: they must survive a power cut if a checkpoint does."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        for tracker in self.trackers:
            tracker.close()
        self._file, self.trackers = None, ()


def _step_of(line: bytes) -> float:
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite_or_none(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
