"""Where a run lives: one process writes, and whoever finds the folder later can go on from it.

.lock  config.json  metrics.jsonl  events/  samples/  checkpoints/step_00001000/  model/  best/
"""

import errno
import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from videogen.checkpoint import Content, Folder, as_json, read_folder, sync, write_folder
from videogen.config.schemas import RUN_CONFIG
from videogen.errors import CheckpointError, LockedError, UsageError
from videogen.training.records.metrics_log import MetricsLog

OnNote = Callable[[str], None]
STEP = "step_"
AGAIN = "or begin a new run with begin_with={run} in another folder"
FACTS = {  # what a run depends on beside its configuration, and what to do: nobody can read the hashes of it
    "clips": ("the clips of data.train are others", f"put them back, {AGAIN}"),
    "tokens": ("the tokens of data.train or data.validation are others", f"put them back, {AGAIN}"),
    "conditioner": ("what reads the captions is another", f"put it back, {AGAIN}"),
    "tokenizer": ("the tokenizer is another", "give the same, or begin a new run in another folder"),
}


class RunFolder:
    """A context manager that holds the folder's lock; LockedError says who else holds it."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.checkpoints, self.samples = self.path / "checkpoints", self.path / "samples"
        self.model, self.best = self.path / "model", self.path / "best"
        self.metrics = MetricsLog(self.path / "metrics.jsonl", self.path / "events")
        self._lock: BinaryIO | None = None

    def __enter__(self) -> "RunFolder":
        for folder in (self.checkpoints, self.samples):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise UsageError(f"{self.path}: a file is in the way; name a folder for the run") from None
        self._lock = _locked(self.path)
        for leftover in self.checkpoints.glob(f".{STEP}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.metrics.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def begun(self) -> bool:
        return self._config.exists()

    @property
    def _config(self) -> Path:
        return self.path / RUN_CONFIG

    def fact(self, key: str) -> Any:
        """What the run wrote down under this key when it began; None if it has not begun, or knows no such key."""
        return json.loads(self._config.read_bytes()).get(key) if self.begun else None

    def compare(self, config: Mapping[str, Any], changeable: frozenset[str]) -> list[str]:
        """With the configuration of the run that began here, and its facts, if one did: UsageError if they differ.

        Returns a note for each of the `changeable` keys that has another value than before.
        """
        if not self.begun:
            return []
        notes = []
        for key, before, now in differences(json.loads(self._config.read_bytes()), json.loads(as_json(config))):
            if key in FACTS:
                what, remedy = FACTS[key]
                raise UsageError(f"{self.path}: {what} than when the run began; {remedy.format(run=self.path)}")
            if key not in changeable:
                raise UsageError(
                    f"{self._config}: '{key}' was {json.dumps(before)} and is now {json.dumps(now)}; a run is resumed "
                    "with what it began with; begin a new one in another folder"
                )
            notes.append(f"'{key}' was {json.dumps(before)} and is now {json.dumps(now)}")
        return notes

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write the configuration down: from now on a run has begun here."""
        partial = self._config.with_name(".config.json.partial")
        partial.write_text(as_json(config), encoding="utf-8")
        sync(partial)
        partial.replace(self._config)
        sync(self.path)

    def save(self, step: int, files: Mapping[str, Content], keep: int, keep_every: int) -> Path:
        """A checkpoint, whole or not at all; the last `keep` stay, and those of each `keep_every` steps."""
        self.metrics.sync()
        path = self.checkpoints / f"{STEP}{step:08}"
        write_folder(path, files)
        older = [number for number in steps_in(self.checkpoints) if number <= step]
        for number in older[:-keep]:
            if not (keep_every and number % keep_every == 0):
                _remove(self.checkpoints / f"{STEP}{number:08}")
        return path


def plain(config: Any) -> dict[str, Any]:
    """The configuration as JSON would hold it."""

    def path(value: object) -> str:
        assert isinstance(value, Path)
        return str(value)

    return json.loads(json.dumps(asdict(config), default=path))  # type: ignore[no-any-return]


def newest_checkpoint(checkpoints: Path, on_note: OnNote) -> tuple[int, Folder] | None:
    """The last checkpoint that is as it was written; those that are not are named in a note and passed over."""
    for step in reversed(steps_in(checkpoints)):
        try:
            return step, read_folder(checkpoints / f"{STEP}{step:08}")
        except CheckpointError as error:
            on_note(f"{error}; passed over for an older one")
    return None


def steps_in(checkpoints: Path) -> list[int]:
    names = (place.name.removeprefix(STEP) for place in checkpoints.glob(f"{STEP}*"))
    return sorted(int(name) for name in names if name.isdecimal())


def differences(before: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted key, value before, value now, of each leaf that is not the same."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now and type(before) is type(now) else [(key, before, now)]
    found = []
    for name in [*before, *(name for name in now if name not in before)]:
        found += differences(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    return found


def _remove(folder: Path) -> None:
    hidden = folder.with_name(f".{folder.name}.old")  # a half removed one must not look like a damaged one
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _locked(path: Path) -> BinaryIO:
    file = (path / ".lock").open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read(200).decode(errors="replace").strip() or "another process"
        file.close()
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        raise LockedError(f"{path}: held by {holder}; wait for it, stop it, or choose another folder") from None
    file.truncate(0)
    program = Path(sys.argv[0]).name or "python"
    file.write(f"process {os.getpid()} ({program}) on {socket.gethostname()}\n".encode())
    file.flush()
    return file
