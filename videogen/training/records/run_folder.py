"""A run folder, which one process at a time writes and any later process can resume.

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
from videogen.config.run_config import RUN_CONFIG, VERSION, read_run_config
from videogen.errors import CheckpointError, LockedError, UsageError
from videogen.storage import RemotePath
from videogen.training.records.metrics_log import MetricsLog

OnNote = Callable[[str], None]
STEP = "step_"
NEW_RUN = "or begin a new run with init_from={run} in another folder"
DEPENDENCIES = {  # recorded beside the configuration, most as hashes: what changed, and what to do about it
    "clips": ("the clips of data.train have changed", f"put them back, {NEW_RUN}"),
    "tokens": ("the tokens of data.train or data.validation have changed", f"put them back, {NEW_RUN}"),
    "conditioner": ("the text encoder or its vocabulary has changed", f"put it back, {NEW_RUN}"),
    "tokenizer": ("the tokenizer has changed", "give the same one, or begin a new run in another folder"),
}


class RunFolder:
    """A context manager that holds the folder's lock; LockedError names the process that holds it already."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.checkpoints, self.samples = self.path / "checkpoints", self.path / "samples"
        self.model, self.best = self.path / "model", self.path / "best"
        self.events = self.path / "events"
        self.metrics = MetricsLog(self.path / "metrics.jsonl")
        self._lock: BinaryIO | None = None

    def __enter__(self) -> "RunFolder":
        for folder in (self.checkpoints, self.samples):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise UsageError(f"{self.path}: a file is in the way; name a folder for the run") from None
        self._lock = _acquire_lock(self.path)
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
    def has_started(self) -> bool:
        return self._config.exists()

    @property
    def _config(self) -> Path:
        return self.path / RUN_CONFIG

    def recorded(self, key: str) -> Any:
        """The value of this key in config.json; None if the run has not begun or has no such key."""
        return self._read_config().get(key) if self.has_started else None

    def check_config(self, config: Mapping[str, Any], changeable: frozenset[str]) -> list[str]:
        """Compare with the configuration and dependencies that the run began with; UsageError if they differ.

        Returns a note for each `changeable` key whose value has changed.
        """
        if not self.has_started:
            return []
        notes = []
        for key, before, now in differences(self._read_config(), json.loads(as_json(config))):
            if key in DEPENDENCIES:
                what, remedy = DEPENDENCIES[key]
                raise UsageError(f"{self.path}: {what} since the run began; {remedy.format(run=self.path)}")
            if key not in changeable:
                raise UsageError(
                    f"{self._config}: '{key}' was {json.dumps(before)} and is now {json.dumps(now)}; a run is resumed "
                    "with the configuration it began with; begin a new one in another folder"
                )
            notes.append(f"'{key}' was {json.dumps(before)} and is now {json.dumps(now)}")
        return notes

    def _read_config(self) -> dict[str, Any]:
        try:
            return read_run_config(self._config)
        except ValueError as error:
            raise CheckpointError(f"{self._config}: {error}") from None

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.json; from now on the run has started."""
        partial = self._config.with_name(".config.json.partial")
        partial.write_text(as_json({"version": VERSION, **config}), encoding="utf-8")
        sync(partial)
        partial.replace(self._config)
        sync(self.path)

    def save(self, step: int, files: Mapping[str, Content], keep: int, keep_every: int) -> Path:
        """Write a checkpoint atomically; keep the last `keep` and those of every `keep_every` steps."""
        self.metrics.sync()
        path = self.checkpoints / f"{STEP}{step:08}"
        write_folder(path, files)
        older = [number for number in steps_in(self.checkpoints) if number <= step]
        for number in older[:-keep]:
            if not (keep_every and number % keep_every == 0):
                _remove(self.checkpoints / f"{STEP}{number:08}")
        return path


def config_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON data."""

    def path(value: object) -> str:
        assert isinstance(value, Path | RemotePath)
        return str(value)

    return json.loads(json.dumps(asdict(config), default=path))  # type: ignore[no-any-return]


def newest_checkpoint(checkpoints: Path, on_note: OnNote) -> tuple[int, Folder] | None:
    """The last intact checkpoint and its step; damaged ones are reported and skipped."""
    for step in reversed(steps_in(checkpoints)):
        try:
            return step, read_folder(checkpoints / f"{STEP}{step:08}")
        except CheckpointError as error:
            on_note(f"{error}; using an older checkpoint")
    return None


def steps_in(checkpoints: Path) -> list[int]:
    names = (place.name.removeprefix(STEP) for place in checkpoints.glob(f"{STEP}*"))
    return sorted(int(name) for name in names if name.isdecimal())


def differences(before: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, value before, value now) of each leaf that differs."""
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


def _acquire_lock(path: Path) -> BinaryIO:
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
