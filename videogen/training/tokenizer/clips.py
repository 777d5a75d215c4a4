"""The batches of stage one, step by step: phases of sizes and lengths, with images in between.

Every phase has two streams, clips and images; the position of a run is the position of every stream. Which of the two a
step reads depends on the seed and the step alone.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from videogen.clip_spec import ClipSpec
from videogen.data import Batch, ClipDataset, Index, Position, Sample, batches, load_index
from videogen.data.split import SPLIT_ADVICE, describe_held_out, hash_fraction, hold_out
from videogen.training.loop.dataset_report import DatasetReport
from videogen.training.loop.stage import Json
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig

SHORTER = "lower phases.frames, or raise data.fps"


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """This process's part of a micro-batch: uint8 [B, T, H, W, 3]."""

    keys: tuple[str, ...]
    clips: NDArray[np.uint8]
    next_position: Json
    captions: tuple[str, ...] = ()
    dropped: tuple[bool, ...] = ()  # whose caption is kept from the decoder


class ClipBatches:
    """The data of a run: endless batches to train on, and clips to validate with."""

    def __init__(self, config: TokenizerTrainingConfig):
        self.config = config
        self.indexed = open_sets(config)
        self.train, self.held_out = split_sets(self.indexed, config.data.validation_share)
        self.datasets: dict[str, ClipDataset] = {}
        for number, phase in enumerate(config.phases):  # a set that cannot be used fails here, before anything begins
            for images in (False, True) if phase.image_share else (False,):
                self.dataset(number, images)
        self.validation = self.validation_set()

    def dataset(self, phase: int, images: bool) -> ClipDataset:
        name = stream_name(phase, images)
        if name not in self.datasets:
            spec = self.spec(self.config.phases[phase], images)
            bad = self.config.data.max_bad_fraction
            seed = self.config.training.seed
            called, flip = "clips to train on", self.config.data.flip
            self.datasets[name] = ClipDataset(self.train, spec, seed, bad, called, SHORTER, flip)
        return self.datasets[name]

    def validation_set(self) -> ClipDataset:
        """The held-out clips, as the last phase reads them."""
        data = self.config.data
        last = self.spec(self.config.phases[-1], images=False)
        called, remedy = "clips to validate with", SHORTER
        if data.validation is None:
            called = describe_held_out((clip.entry.key for clip in self.held_out.good), len(self.held_out.good))
            remedy = f"{SPLIT_ADVICE}; or {SHORTER}"
        return ClipDataset(self.held_out, last, 0, data.max_bad_fraction, called, remedy)

    def spec(self, phase: PhaseConfig, images: bool) -> ClipSpec:
        data = self.config.data
        return ClipSpec(phase.height, phase.width, data.fps, 1 if images else phase.frames)

    def validation_clips(self) -> list[NDArray[np.uint8]]:
        """Frames of held-out clips, uint8 [T, H, W, 3], the same at every call."""
        return [sample.clip for sample in self.validation_samples()]

    def validation_samples(self) -> list[Sample]:
        """Held-out clips with their captions, the same at every call."""
        count = min(len(self.validation), self.config.data.validation_clips)
        return [self.validation.sample(0, i) for i in range(count)]

    def report(self) -> DatasetReport:
        """For the last phase, which validation is about."""
        last, held = self.dataset(len(self.config.phases) - 1, images=False), self.validation
        return DatasetReport(
            train=len(last),
            held_out=len(held),
            requested=self.config.data.validation_clips,
            refused=len(last.refused) + len(held.refused),
            short=len(last.short) + len(held.short),
            min_length=f"{last.spec.frames} frames at {last.spec.fps:g} a second",
        )

    def fingerprint(self) -> str:
        """Of the clips of the first phase; a run cannot be resumed with others."""
        return self.dataset(0, images=False).fingerprint

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world_size: int) -> Generator[ClipBatch]:
        places, size = dict(position), self.config.training.batch_size // accumulation
        open_streams: dict[str, Iterator[Batch]] = {}
        try:
            while True:
                number = self.config.phase_at(step)
                phase, images = self.config.phases[number], self.is_image_step(step)
                name = stream_name(number, images)
                if name not in open_streams:
                    close_others(open_streams, number)
                    count = size * phase.image_batches if images else size
                    place = Position(**places.get(name, {}))
                    workers = self.config.data.workers
                    open_streams[name] = batches(self.dataset(number, images), count, place, rank, world_size, workers)
                for _ in range(accumulation):
                    batch = next(open_streams[name])
                    places = {**places, name: asdict(batch.next)}
                    dropped = self.dropped_captions(batch.keys, step)
                    yield ClipBatch(batch.keys, batch.clips, places, batch.captions, dropped)
                step += 1
        finally:
            close_others(open_streams, phase=None)

    def dropped_captions(self, keys: tuple[str, ...], step: int) -> tuple[bool, ...]:
        """Which of these clips are without their caption in this step: it depends on seed, step and key alone."""
        condition, seed = self.config.tokenizer.condition, self.config.training.seed
        share = 0.0 if condition is None else condition.dropout
        return tuple(hash_fraction(f"caption {seed} {step} {key}") < share for key in keys)

    def is_image_step(self, step: int) -> bool:
        phase = self.config.phases[self.config.phase_at(step)]
        return hash_fraction(f"images {self.config.training.seed} {step}") < phase.image_share


def open_sets(config: TokenizerTrainingConfig) -> tuple[Index, ...]:
    """The training set, and the validation set if there is one."""
    return tuple(load_index(data) for data in (config.data.train, config.data.validation) if data is not None)


def split_sets(indexed: tuple[Index, ...], share: float) -> tuple[Index, Index]:
    """The clips to train on and those to validate with: a second set, or a held-out share of the first."""
    train, *others = indexed
    return (train, others[0]) if others else hold_out(train, share)


def stream_name(phase: int, images: bool) -> str:
    return f"phase {phase} {'images' if images else 'clips'}"


def close_others(streams: dict[str, Iterator[Batch]], phase: int | None) -> None:
    """Stop the threads of all other phases."""
    for name in [name for name in streams if phase is None or not name.startswith(f"phase {phase} ")]:
        with closing(cast(Generator[Batch], streams.pop(name))):
            pass
