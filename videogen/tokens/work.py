"""Errands, one a shard: claimed by one process each, run here or by workers, and never done twice."""

import errno
import fcntl
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from videogen.data.workers import run_each
from videogen.errors import CheckpointError, ResourceError
from videogen.models import TokenizerModel, load_tokenizer
from videogen.tokens.description import Description
from videogen.tokens.plan import PlannedClip
from videogen.tokens.shards import Contents, is_whole, write_shard
from videogen.tokens.stream import ids_of, pictures_of

if TYPE_CHECKING:
    from tokenizer.networks.cnn import VideoTokenizer

OnProgress = Callable[[int, int], None]
Ending: TypeAlias = Literal["made", "found", "elsewhere"]
LOCKS = ".locks"  # stays: a lock file that is removed can be locked twice
FOREVER = 1e6  # seconds: a shard may take as long as it takes


@dataclass(frozen=True)
class Errand:
    """One shard to be made."""

    folder: Path
    description: Description
    number: int
    clips: tuple[PlannedClip, ...]
    contents: Contents
    wait: bool = False  # for another process that is at it

    @property
    def done(self) -> bool:
        return is_whole(self.folder, self.number, self.contents)


@dataclass(frozen=True)
class Crew:
    """Who runs the errands: `model` in this process, or so many workers that each load it from its folder."""

    model: TokenizerModel
    workers: int
    threads: int  # of each worker


def run_errands(errands: Sequence[Errand], crew: Crew, on_progress: OnProgress | None) -> int:
    """Run all errands that are not done; returns how many clips were encoded here.

    What other processes are at is left to them, and waited for at the end, for they may die.
    """
    tally = Tally(sum(len(errand.clips) for errand in errands), on_progress)
    missing, made = [], 0
    for errand in errands:
        if errand.done:
            tally.tell(errand.number, len(errand.clips))
        else:
            missing.append(errand)
    while missing:
        elsewhere = []
        for errand, ending in _endings(missing, crew, tally):
            if ending == "elsewhere":
                elsewhere.append(replace(errand, wait=True))
            else:
                tally.tell(errand.number, len(errand.clips))
            made += len(errand.clips) if ending == "made" else 0
        missing = elsewhere
    return made


class Tally:
    """How many clips of which shard are done, whoever did them."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total, on_progress
        self._done: dict[int, int] = {}

    def tell(self, shard: int, clips: int) -> None:
        news = self._done.get(shard) != clips
        self._done[shard] = clips
        if news and self._on_progress:
            self._on_progress(sum(self._done.values()), self._total)


def make_shard(errand: Errand, network: "VideoTokenizer", on_clip: Callable[[int], None] | None = None) -> Ending:
    """Make the shard, unless it is there or another process is at it; `on_clip` hears how many clips are encoded."""
    folder, number, description = errand.folder, errand.number, errand.description
    with claimed(folder / LOCKS / f"shard_{number:05}.lock", errand.wait) as mine:
        if not mine:
            return "elsewhere"
        if errand.done:
            return "found"
        ids = _ids_of_all(errand, network, on_clip)
        write_shard(folder, number, errand.contents, description.grid, description.vocabulary, ids)
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


def _ids_of_all(
    errand: Errand, network: "VideoTokenizer", on_clip: Callable[[int], None] | None
) -> Iterator[NDArray[np.int64]]:
    for done, clip in enumerate(errand.clips, start=1):
        yield from ids_of(network, pictures_of(clip, errand.description.cut))
        if on_clip:
            on_clip(done)


def _endings(errands: Sequence[Errand], crew: Crew, tally: Tally) -> Iterator[tuple[Errand, Ending]]:
    if crew.workers == 1 or len(errands) == 1:
        for errand in errands:
            yield errand, make_shard(errand, crew.model.network, functools.partial(tally.tell, errand.number))
        return
    device = str(next(crew.model.network.parameters()).device)
    task = functools.partial(_said, crew.model.path, device, crew.model.fingerprint, crew.threads)
    for place, ending in run_each(task, errands, crew.workers, patience=lambda _: FOREVER):
        said = ending.said[-1] if ending.said else None
        if isinstance(said, Exception):
            raise said
        if said is None:
            raise ResourceError(
                f"the process that made shard {errands[place].number} was ended twice ({ending.died}); if memory is "
                "short, ask for fewer --workers"
            )
        yield errands[place], cast(Ending, said)


def _said(path: Path, device: str, fingerprint: str, threads: int, errand: Errand) -> Iterator[Ending | Exception]:
    """What a worker does; an exception is a value here, for one that escapes would end the process."""
    try:
        yield make_shard(errand, _network(path, device, fingerprint, threads))
    except Exception as error:
        yield error


@functools.lru_cache(1)
def _network(path: Path, device: str, fingerprint: str, threads: int) -> "VideoTokenizer":
    import torch

    torch.set_num_threads(threads)
    model = load_tokenizer(path, device)
    if model.fingerprint != fingerprint:
        raise CheckpointError(f"{path}: the tokenizer was replaced while it was in use; encode into a new folder")
    return model.network
