"""The numbers of a run: one line of JSON each, and TensorBoard's events where TensorBoard is installed."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from videogen.checkpoint import sync
from videogen.training.records.tensorboard import Board, is_installed


class MetricsLog:
    """Lines `{"step": ..., "kind": "train" | "validation", name: number, ...}` in the order of steps, each once.

    What is under "speed" depends on the machine; everything else is the same however often a run was interrupted.
    """

    def __init__(self, path: Path, events: Path):
        self.path, self.events = path, events
        self._file: TextIO | None = None
        self._board: Board | None = None

    def rewind(self, step: int) -> None:
        """Open for appending, without the lines (whole or torn) of later steps: the run goes on from this one."""
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
        self._board = Board(self.events, step + 1) if is_installed() else None

    def append(self, step: int, kind: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Writes one line and returns it; a number that is not finite becomes null, for JSON has no word for it."""
        assert self._file is not None, "rewind comes first"
        line = {"step": step, "kind": kind, **{name: _plain(value) for name, value in numbers.items()}}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        if self._board is not None:
            self._board.add(kind, line, step)
        return line

    def show(self, place: Path, step: int) -> None:
        """Samples in files whose names begin with `place`, for who looks at a board."""
        if self._board is not None:
            self._board.show(place, step)

    def sync(self) -> None:
        """Make the lines so far survive a power cut: a checkpoint must not outlive them."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        for part in (self._file, self._board):
            if part is not None:
                part.close()
        self._file = self._board = None


def _step_of(line: bytes) -> float:
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
