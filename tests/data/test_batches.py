"""The global sequence is the same for any number of processes and threads, and after any restart, pixels included."""

import json
import os
import threading
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import MakeSet
from videogen.clip_spec import ClipSpec
from videogen.data import Batch, ClipDataset, Position, batches, build_index
from videogen.io import VideoError

Row = tuple[str, str, bytes]
BATCH = 4


@pytest.fixture
def dataset(tmp_path: Path, make_set: MakeSet) -> ClipDataset:
    return ClipDataset(build_index(make_set(tmp_path, clips=7)), ClipSpec(16, 24, 8, 5), seed=5, flip=True)


def rows(batch: Batch) -> list[Row]:
    return [
        (key, caption, clip.tobytes())
        for key, caption, clip in zip(batch.keys, batch.captions, batch.clips, strict=True)
    ]


def run(
    dataset: ClipDataset, count: int, position: Position, world_size: int, workers: int
) -> tuple[list[Row], Position]:
    """`count` global batches as `world_size` processes would read them, put together again."""
    ranks = [
        list(islice(batches(dataset, BATCH, position, rank, world_size, workers), count)) for rank in range(world_size)
    ]
    assert all(len({batch.next for batch in step}) == 1 for step in zip(*ranks, strict=True))
    return [row for step in zip(*ranks, strict=True) for batch in step for row in rows(batch)], ranks[0][-1].next


def test_one_sequence_however_it_is_divided(dataset: ClipDataset) -> None:
    count = 6  # batches of 4 over 7 clips: epochs end within batches
    expected = [
        (s.key, s.caption, s.clip.tobytes()) for g in range(count * BATCH) for s in [dataset.sample(*divmod(g, 7))]
    ]
    for world_size in (1, 2, 4):
        for workers in (1, 3):
            assert run(dataset, count, Position(), world_size, workers)[0] == expected
    for cut in range(1, count):
        for before, after in ((1, 4), (2, 1)):
            first, position = run(dataset, cut, Position(), before, 2)
            saved = json.loads(json.dumps(asdict(position)))
            rest, _ = run(dataset, count - cut, Position(**saved), after, 2)
            assert first + rest == expected


def test_each_epoch_holds_every_clip_once(dataset: ClipDataset) -> None:
    keys = [key for batch in islice(batches(dataset, BATCH), 14) for key in batch.keys]
    for epoch in range(8):
        assert len(set(keys[7 * epoch : 7 * (epoch + 1)])) == 7


def test_a_batch_may_be_larger_than_an_epoch(dataset: ClipDataset) -> None:
    batch = next(batches(dataset, 16))
    assert batch.clips.shape == (16, 5, 16, 24, 3)
    assert batch.next == Position(2, 2)


def test_positions_add_up() -> None:
    for length in (1, 3, 7):
        for start in range(0, 30, 4):
            position = Position(*divmod(start, length))
            for step in range(9):
                assert position.after(step, length) == Position(*divmod(start + step, length))


def test_a_changed_file_stops_the_sequence_at_its_place(dataset: ClipDataset) -> None:
    victim = dataset.sample(0, 5).key
    path = next(clip.entry.source for clip in dataset.clips if clip.entry.key == victim)
    assert isinstance(path, Path)
    os.utime(path, ns=(0, 0))
    reading = batches(dataset, 2, workers=3, ahead=4)
    assert [next(reading).next for _ in range(2)] == [Position(0, 2), Position(0, 4)]
    with pytest.raises(VideoError, match="changed"):
        next(reading)
    assert not _threads()


def test_threads_end_with_the_sequence(dataset: ClipDataset) -> None:
    reading = batches(dataset, 2)
    next(reading)
    assert _threads()
    reading.close()  # type: ignore[attr-defined]
    assert not _threads()


def test_wrong_arguments_are_refused_at_once(dataset: ClipDataset) -> None:
    for words, arguments in {
        "batch_size is 3": {"batch_size": 3, "world_size": 2},
        "batch_size is 0": {"batch_size": 0},
        "rank is 2": {"batch_size": 4, "rank": 2, "world_size": 2},
        "outside of this set": {"batch_size": 4, "position": Position(0, 7)},
    }.items():
        with pytest.raises(ValueError, match=words):
            batches(dataset, **arguments)  # type: ignore[arg-type]


def test_clips_are_what_the_spec_asks_for(dataset: ClipDataset) -> None:
    batch = next(batches(dataset, 2))
    assert batch.clips.dtype == np.uint8
    assert batch.clips.shape == (2, 5, 16, 24, 3)


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("videogen-clips")]
