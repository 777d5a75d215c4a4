"""Fetch a run from its mirror, onto a machine that does not have its folder."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from videogen.checkpoint import read_folder
from videogen.config.run_config import RUN_CONFIG
from videogen.errors import CheckpointError
from videogen.storage import Location, RemotePath, below
from videogen.storage.transfer import download
from videogen.training.loop.mirror import CHECKPOINTS, Snapshot, read_snapshot

OnNote = Callable[[str], None]


def fetch_missing_run(mirror: Location | None, run: Path, on_note: OnNote) -> bool:
    """Fetch the run of this folder's name if the folder holds none; whether it did. Processes wait for one another."""
    if not isinstance(mirror, RemotePath) or (run / RUN_CONFIG).is_file():
        return False
    run.absolute().parent.mkdir(parents=True, exist_ok=True)
    lock = run.absolute().parent / f".{run.absolute().name}.mirror.lock"
    try:
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            return not (run / RUN_CONFIG).is_file() and _fetch(mirror / run.absolute().name, run, on_note)
    finally:
        lock.unlink(missing_ok=True)


def _fetch(source: RemotePath, run: Path, on_note: OnNote) -> bool:
    snapshot = read_snapshot(source)
    if snapshot is None:
        return False
    step = _fetch_checkpoint(snapshot, source, run, on_note)
    for name, place in snapshot.folders.items():
        if not name.startswith(CHECKPOINTS):
            _fetch_folder(source / place, run / _inside(name))
    for name in sorted(snapshot.files, key=lambda each: each == RUN_CONFIG):  # last: it makes the folder a run
        download(source / name, run / _inside(name))
    on_note(f"{run}: fetched step {step} from {source}")
    return True


def _fetch_checkpoint(snapshot: Snapshot, source: RemotePath, run: Path, on_note: OnNote) -> int:
    """The newest checkpoint that is whole; its step."""
    for name in sorted((name for name in snapshot.folders if name.startswith(CHECKPOINTS)), reverse=True):
        try:
            _fetch_folder(source / snapshot.folders[name], run / _inside(name))
        except CheckpointError as error:
            on_note(f"{error}; using an older checkpoint")
            continue
        return int(name.rpartition("_")[2])
    raise CheckpointError(f"{source}: holds no whole checkpoint")


def _fetch_folder(source: RemotePath, target: Path) -> None:
    """A folder with a manifest, checked before it has its name."""
    partial = target.with_name(f".{target.name}.fetched")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in source.files():
        download(file, partial / below(file, source))
    read_folder(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _inside(name: str) -> PurePosixPath:
    """A path below the run folder; CheckpointError for one that leads out."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise CheckpointError(f"the snapshot of the mirror names {name!r}, which leads out of the run")
    return path
