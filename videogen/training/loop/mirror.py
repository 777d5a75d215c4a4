"""A copy of a run in a bucket, made in the background after each checkpoint; a machine without the folder fetches it.

    MIRROR/NAME-OF-RUN/snapshot.json              written last: the objects below that belong together
                       checkpoints/step_00001000-HASH/ model/HASH/ best/HASH/   each with its MANIFEST.json
                       config.json metrics.jsonl samples/ ...

An object that a snapshot names is not replaced before the next snapshot is there, so a kill at any moment leaves the
last copy whole. Logs may be newer than the snapshot; resuming drops the lines of later steps.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from videogen.checkpoint import MANIFEST, as_json, sha256_of
from videogen.errors import CheckpointError, UsageError, VideogenError
from videogen.storage import MissingObjectError, RemotePath, below
from videogen.storage.transfer import refuse_read_only, remove, upload

SNAPSHOT, FORMAT, VERSION = "snapshot.json", "videogen-mirror", 1
CHECKPOINTS = "checkpoints"
EXPORTS = ("model", "best")
LEFT_OUT = {CHECKPOINTS, *EXPORTS, "tokens", "validation_tokens", "features", "wandb"}  # uploaded apart, or made again
STAGING = ".mirror"
REQUESTS = 4  # files of a folder that are uploaded at a time
SILENT_SECONDS = 3.0  # of waiting at the end of a run, before a line says so
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Snapshot:
    """Which folders of the run, by their path in it, are where in the mirror; and which single files."""

    step: int
    folders: dict[str, str]
    files: tuple[str, ...]


class Mirror:
    """Copies checkpoints in a thread of its own; the newest waits while another is copied, and older ones give way."""

    def __init__(self, mirror: RemotePath, run: Path, on_note: OnNote) -> None:
        self.target, self.run, self.on_note = mirror / run.absolute().name, run, on_note
        self._sent: dict[str, tuple[int, int]] = {}
        self._waiting: Path | None = None
        self._changed = threading.Condition()
        self._busy, self._failed, self._closing = False, False, False

    def __enter__(self) -> "Mirror":
        shutil.rmtree(self.run / STAGING, ignore_errors=True)
        threading.Thread(target=self._serve, daemon=True, name="mirror").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the last copy; one that failed is tried once more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if not self._changed.wait_for(self._idle, timeout=SILENT_SECONDS):
                self.on_note(f"mirror: copying the last checkpoint to {self.target}")
                self._changed.wait_for(self._idle)
        shutil.rmtree(self.run / STAGING, ignore_errors=True)

    def check_target(self, has_started: bool) -> None:
        """UsageError if another run has this name in the mirror."""
        refuse_read_only(self.target)
        if not has_started and read_snapshot(self.target) is not None:
            raise UsageError(
                f"{self.target}: the mirror holds a run of this name; --resume continues it, or choose another --run"
            )

    def push(self, step: int) -> None:
        """Copy the run as it is after the checkpoint of this step; returns at once."""
        try:
            staged = stage(self.run, step)
        except OSError as error:
            self.on_note(f"mirror: step {step} is not copied ({error}); the next checkpoint is tried again")
            return
        with self._changed:
            if self._waiting is not None:
                shutil.rmtree(self._waiting, ignore_errors=True)
            self._waiting = staged
            self._changed.notify_all()

    def _idle(self) -> bool:
        return not self._busy and self._waiting is None

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or (self._closing and not self._failed))
                if self._waiting is None:
                    return
                staged, self._waiting, self._busy = self._waiting, None, True
            failed = not self._copied(staged)
            with self._changed:
                retry = failed and self._closing and not self._failed and self._waiting is None
                self._failed, self._waiting = failed, staged if retry else self._waiting
                if not retry:
                    shutil.rmtree(staged, ignore_errors=True)
                self._busy = False
                self._changed.notify_all()

    def _copied(self, staged: Path) -> bool:
        step = int(staged.name)
        try:
            publish(staged, step, self.target, steps_kept(self.run), self._sent)
        except Exception as error:  # whatever it is, training goes on
            reason = error if isinstance(error, VideogenError) else f"{type(error).__name__}: {error}"
            self.on_note(f"mirror: step {step} is not in {self.target} ({reason}); the next checkpoint is tried again")
            return False
        return True


def steps_kept(run: Path) -> set[str]:
    return {f"{CHECKPOINTS}/{place.name}" for place in (run / CHECKPOINTS).glob("step_*")}


def stage(run: Path, step: int) -> Path:
    """A folder with what is to be copied, by hard links, because training replaces and removes files meanwhile."""
    staged = run / STAGING / str(step)
    shutil.rmtree(staged, ignore_errors=True)
    for place in sorted(_to_copy(run, step)):
        target = staged / place.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".jsonl" or "tfevents" in place.name:  # these grow in place
            shutil.copy2(place, target)
            continue
        try:
            os.link(place, target)
        except OSError:
            shutil.copy2(place, target)
    return staged


def _to_copy(run: Path, step: int) -> Iterator[Path]:
    folders = [run / CHECKPOINTS / f"step_{step:08}", *(run / name for name in EXPORTS)]
    folders += [place for place in run.iterdir() if place.is_dir() and place.name not in LEFT_OUT]
    for folder in folders:
        if not folder.name.startswith("."):
            yield from (place for place in folder.rglob("*") if place.is_file())
    yield from (place for place in run.iterdir() if place.is_file() and not place.name.startswith("."))


def publish(staged: Path, step: int, target: RemotePath, kept: set[str], sent: dict[str, tuple[int, int]]) -> None:
    """Upload what is new, then the snapshot, then delete what no snapshot names any more."""
    before = read_snapshot(target)
    known = {} if before is None else before.folders
    folders = {name: place for name, place in known.items() if name in kept}
    for manifest in sorted(staged.rglob(MANIFEST)):
        name = manifest.parent.relative_to(staged).as_posix()
        place = f"{name}{'-' if name.startswith(CHECKPOINTS) else '/'}{sha256_of(manifest)[:16]}"
        if known.get(name) != place:
            _upload_folder(manifest.parent, target / place)
        folders[name] = place
    inside = {staged / name for name in folders}
    files = [file for file in staged.rglob("*") if file.is_file() and not inside & set(file.parents)]
    names = tuple(sorted(file.relative_to(staged).as_posix() for file in files))
    for name in names:
        _upload_new(staged / name, name, target, sent)
    _write_snapshot(staged / SNAPSHOT, Snapshot(step, folders, names), target)
    _remove_others(target, set(folders.values()))


def _remove_others(target: RemotePath, named: set[str]) -> None:
    """Delete folders that the snapshot does not name: older ones, and those of uploads that broke."""
    for file in target.files():
        top, *rest = below(file, target).split("/")
        if top in (CHECKPOINTS, *EXPORTS) and f"{top}/{rest[0]}" not in named:
            remove(file)


def read_snapshot(target: RemotePath) -> Snapshot | None:
    """The last snapshot in the mirror of a run; None if there is none."""
    try:
        raw = (target / SNAPSHOT).read_bytes()
    except MissingObjectError:
        return None
    try:
        known = json.loads(raw)
        if (known.pop("format"), known.pop("version")) != (FORMAT, VERSION):
            raise ValueError
        return Snapshot(int(known["step"]), dict(known["folders"]), tuple(known["files"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{target / SNAPSHOT}: not a snapshot of this program") from None


def _upload_folder(folder: Path, target: RemotePath) -> None:
    """Several files at a time, and the manifest after them."""
    files = [file for file in folder.rglob("*") if file.is_file() and file != folder / MANIFEST]
    with ThreadPoolExecutor(REQUESTS) as pool:
        for _ in pool.map(lambda file: upload(file, target / file.relative_to(folder).as_posix()), files):
            pass
    upload(folder / MANIFEST, target / MANIFEST)


def _upload_new(place: Path, name: str, target: RemotePath, sent: dict[str, tuple[int, int]]) -> None:
    status = place.stat()
    now = status.st_size, status.st_mtime_ns
    if sent.get(name) != now:
        upload(place, target / name)
        sent[name] = now


def _write_snapshot(place: Path, snapshot: Snapshot, target: RemotePath) -> None:
    place.write_text(as_json({"format": FORMAT, "version": VERSION, **asdict(snapshot)}), encoding="utf-8")
    upload(place, target / SNAPSHOT)
