"""One task a shard: claimed by one process each, run here or by workers, and never done twice."""

import errno
import fcntl
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from prior.config import ControlConfig
from videogen.errors import CheckpointError
from videogen.executors.base import Executor, only_value, with_errors
from videogen.tokens.control import control_rows
from videogen.tokens.description import Description
from videogen.tokens.plan import PlannedClip
from videogen.tokens.shards import ShardMetadata, is_whole, write_shard
from videogen.tokens.stream import codes_of, frames_of

if TYPE_CHECKING:
    from interfaces.tokenizer import VideoTokenizer
    from videogen.models import TokenizerModel

OnProgress = Callable[[int, int], None]
Outcome: TypeAlias = Literal["made", "found", "elsewhere"]
LOCKS = ".locks"  # stays: a lock file that is removed can be locked twice


@dataclass(frozen=True)
class ShardTask:
    """One shard to be made."""

    folder: Path
    description: Description
    number: int
    clips: tuple[PlannedClip, ...]
    metadata: ShardMetadata
    wait: bool = False  # for another process that is making it

    @property
    def done(self) -> bool:
        return is_whole(self.folder, self.number, self.metadata)


@dataclass(frozen=True)
class WorkerPool:
    """Who runs the tasks: `model` in this process, or workers that each load it from its folder, on `device`."""

    model: "TokenizerModel"
    executor: Executor
    device: str


def run_tasks(tasks: Sequence[ShardTask], pool: WorkerPool, on_progress: OnProgress | None) -> int:
    """Run all tasks that are not done; returns how many clips were encoded here.

    Shards that other processes are making are left to them, and waited for at the end, because a process may die.
    """
    progress = ShardProgress(sum(len(task.clips) for task in tasks), on_progress)
    missing, made = [], 0
    for task in tasks:
        if task.done:
            progress.tell(task.number, len(task.clips))
        else:
            missing.append(task)
    while missing:
        elsewhere = []
        for task, outcome in _outcomes(missing, pool, progress):
            if outcome == "elsewhere":
                elsewhere.append(replace(task, wait=True))
            else:
                progress.tell(task.number, len(task.clips))
            made += len(task.clips) if outcome == "made" else 0
        missing = elsewhere
    return made


class ShardProgress:
    """How many clips of which shard are done, whoever did them."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total, on_progress
        self._done: dict[int, int] = {}

    def tell(self, shard: int, clips: int) -> None:
        changed = self._done.get(shard) != clips
        self._done[shard] = clips
        if changed and self._on_progress:
            self._on_progress(sum(self._done.values()), self._total)


def make_shard(task: ShardTask, tokenizer: "VideoTokenizer", on_clip: Callable[[int], None] | None = None) -> Outcome:
    """Make the shard, unless it is there or another process is making it; `on_clip` gets the count of clips so far."""
    folder, number, description = task.folder, task.number, task.description
    with claimed(folder / LOCKS / f"shard_{number:05}.lock", task.wait) as mine:
        if not mine:
            return "elsewhere"
        if task.done:
            return "found"
        codes = _codes_of_all(task, tokenizer, on_clip)
        write_shard(folder, number, task.metadata, description.spec, codes, _control_of_all(task))
    return "made"


@contextmanager
def claimed(lock: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock that dies with its process; gives False if another holds it and waiting is not wanted."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            yield False
            return
        yield True


def _codes_of_all(
    task: ShardTask, tokenizer: "VideoTokenizer", on_clip: Callable[[int], None] | None
) -> Iterator[NDArray[Any]]:
    for done, clip in enumerate(task.clips, start=1):
        yield from codes_of(tokenizer, frames_of(clip, task.description.clips))
        if on_clip:
            on_clip(done)


def _control_of_all(task: ShardTask) -> tuple[ControlConfig, NDArray[Any]] | None:
    known = task.description
    if known.control is None:
        return None
    return known.control, np.concatenate([control_rows(clip, known.clips.fps, known.spec) for clip in task.clips])


def _outcomes(
    tasks: Sequence[ShardTask], pool: WorkerPool, progress: ShardProgress
) -> Iterator[tuple[ShardTask, Outcome]]:
    if pool.executor.is_local and min(pool.executor.workers, len(tasks)) == 1:
        for task in tasks:
            yield task, make_shard(task, pool.model.network, functools.partial(progress.tell, task.number))
        return
    model, executor = pool.model, pool.executor
    kept = model.prefixes[-1] if model.prefixes else None
    loading = functools.partial(_tokenizer, model.path, pool.device, kept, model.fingerprint, executor.threads)
    work = functools.partial(with_errors, functools.partial(_in_worker, loading))
    for place, result in executor.run_each(work, tasks):
        yield tasks[place], cast(Outcome, only_value(result, f"shard {tasks[place].number}"))


def _in_worker(loading: "Callable[[], VideoTokenizer]", task: ShardTask) -> Outcome:
    return make_shard(task, loading())


@functools.lru_cache(1)
def _tokenizer(path: Path, device: str, tokens: int | None, fingerprint: str, threads: int) -> "VideoTokenizer":
    import torch

    from videogen.models import load_tokenizer

    torch.set_num_threads(threads)
    model = load_tokenizer(path, device, tokens)
    if model.fingerprint != fingerprint:
        raise CheckpointError(f"{path}: the tokenizer was replaced while it was in use; encode into a new folder")
    tokenizer: VideoTokenizer = model.network
    return tokenizer
