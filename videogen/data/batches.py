"""The endless sequence of training batches, which can be resumed anywhere.

Global sample g of a run is sample (g mod n) of epoch (g div n); global batch b holds samples b B .. b B + B - 1. An
epoch runs on into the next within a batch: nothing is dropped or repeated. Of each batch, process r of R gets the
r-th of R equal slices. So the sequence is the same for any number of processes and threads, and after an interruption.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videogen.data.dataset import ClipDataset, Sample


@dataclass(frozen=True)
class Position:
    """The next sample of the global sequence; `dataclasses.asdict` makes it JSON, `Position(**values)` reads it."""

    epoch: int = 0
    sample: int = 0

    def after(self, samples: int, length: int) -> "Position":
        """The position `samples` further on in a set of `length`."""
        epochs, sample = divmod(self.sample + samples, length)
        return Position(self.epoch + epochs, sample)


@dataclass(frozen=True, eq=False)
class Batch:
    """This process's slice of a global batch: clips uint8 [B / R, T, H, W, 3]; the next batch begins at `next`."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    clips: NDArray[np.uint8]
    next: Position


def batches(
    dataset: ClipDataset,
    batch_size: int,
    position: Position = Position(),
    rank: int = 0,
    world_size: int = 1,
    workers: int = 2,
    ahead: int = 2,
) -> Iterator[Batch]:
    """Endless batches from `position` on; `batch_size` counts the samples of all `world_size` processes together.

    `workers` threads (decoders release the interpreter's lock) read up to `ahead` batches beyond the current one.
    """
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(f"batch_size is {batch_size}; it must be a multiple of the {world_size} processes")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank is {rank}; it must lie in 0 .. {world_size - 1}")
    if not (position.epoch >= 0 and 0 <= position.sample < len(dataset)):
        raise ValueError(f"{position} is outside of this set, which has {len(dataset)} samples an epoch")
    share = batch_size // world_size
    return _read_ahead(dataset, batch_size, position, range(rank * share, (rank + 1) * share), workers, ahead)


def _read_ahead(
    dataset: ClipDataset, batch_size: int, position: Position, mine: range, workers: int, ahead: int
) -> Iterator[Batch]:
    pending: deque[tuple[list[Future[Sample]], Position]] = deque()
    threads = ThreadPoolExecutor(workers, thread_name_prefix="videogen-clips")
    try:
        while True:
            while len(pending) <= ahead:
                places = [position.after(offset, len(dataset)) for offset in mine]
                position = position.after(batch_size, len(dataset))
                pending.append(([threads.submit(dataset.sample, at.epoch, at.sample) for at in places], position))
            reading, after = pending.popleft()
            yield _stacked([future.result() for future in reading], after)
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _stacked(samples: list[Sample], after: Position) -> Batch:
    keys, captions = (sample.key for sample in samples), (sample.caption for sample in samples)
    return Batch(tuple(keys), tuple(captions), np.stack([sample.clip for sample in samples]), after)
