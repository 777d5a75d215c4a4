"""The clips of a run of stage one, step by step: phases of sizes and lengths, images among them.

Every phase reads two sequences of its own, clips and single frames; each has its place, and the run's position is all
those places. Which of the two a step takes is a function of the seed and the step.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from videogen.clip_spec import ClipSpec
from videogen.data import Batch, ClipDataset, Index, Position, batches, load_index
from videogen.data.split import SPLIT_ADVICE, describe_held_out, hash_fraction, hold_out
from videogen.training.loop.dataset_report import Used
from videogen.training.loop.stage import Json
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig

TO_FIT = "lower phases.frames, or raise data.fps"


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """This process's part of a micro-batch: uint8 [B, T, H, W, 3]."""

    keys: tuple[str, ...]
    clips: NDArray[np.uint8]
    next: Json


class Clips:
    """Everything that a run reads: endless batches to train on, and the clips it is judged by."""

    def __init__(self, config: TokenizerTrainingConfig):
        self.config = config
        self.indexed = open_sets(config)
        self.train, self.held_out = split(self.indexed, config.data.validation_share)
        self.datasets: dict[str, ClipDataset] = {}
        for number, phase in enumerate(config.phases):  # a set that cannot serve is found out before anything begins
            for images in (False, True) if phase.image_share else (False,):
                self.dataset(number, images)
        self.validation = self.to_validate_with()

    def dataset(self, phase: int, images: bool) -> ClipDataset:
        name = stream_name(phase, images)
        if name not in self.datasets:
            spec = self.spec(self.config.phases[phase], images)
            bad = self.config.data.max_bad_fraction
            seed = self.config.training.seed
            called, flip = "clips to train on", self.config.data.flip
            self.datasets[name] = ClipDataset(self.train, spec, seed, bad, called, TO_FIT, flip)
        return self.datasets[name]

    def to_validate_with(self) -> ClipDataset:
        """The held-out clips as the last phase would see them."""
        data = self.config.data
        last = self.spec(self.config.phases[-1], images=False)
        called, remedy = "clips to validate with", TO_FIT
        if data.validation is None:
            called = describe_held_out((clip.entry.key for clip in self.held_out.good), len(self.held_out.good))
            remedy = f"{SPLIT_ADVICE}; or {TO_FIT}"
        return ClipDataset(self.held_out, last, 0, data.max_bad_fraction, called, remedy)

    def spec(self, phase: PhaseConfig, images: bool) -> ClipSpec:
        data = self.config.data
        return ClipSpec(phase.height, phase.width, data.fps, 1 if images else phase.frames)

    def for_validation(self) -> list[NDArray[np.uint8]]:
        """Pictures of the held-out clips, uint8 [T, H, W, 3], the same at every call."""
        count = min(len(self.validation), self.config.data.validation_clips)
        return [self.validation.sample(0, i).clip for i in range(count)]

    def used(self) -> Used:
        """In the last phase, which the run is judged by."""
        last, held = self.dataset(len(self.config.phases) - 1, images=False), self.validation
        return Used(
            train=len(last),
            held_out=len(held),
            asked=self.config.data.validation_clips,
            refused=len(last.refused) + len(held.refused),
            short=len(last.short) + len(held.short),
            least=f"{last.spec.frames} frames at {last.spec.fps:g} a second",
        )

    def fingerprint(self) -> str:
        """Of all the clips of the first phase: another set is another run."""
        return self.dataset(0, images=False).fingerprint

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[ClipBatch]:
        places, size = dict(position), self.config.training.batch_size // accumulation
        open_streams: dict[str, Iterator[Batch]] = {}
        try:
            while True:
                number = self.config.phase_at(step)
                phase, images = self.config.phases[number], self.takes_images(step)
                name = stream_name(number, images)
                if name not in open_streams:
                    close_others(open_streams, number)
                    many = size * phase.image_batches if images else size
                    place = Position(**places.get(name, {}))
                    workers = self.config.data.workers
                    open_streams[name] = batches(self.dataset(number, images), many, place, rank, world, workers)
                for _ in range(accumulation):
                    batch = next(open_streams[name])
                    places = {**places, name: asdict(batch.next)}
                    yield ClipBatch(batch.keys, batch.clips, places)
                step += 1
        finally:
            close_others(open_streams, phase=None)

    def takes_images(self, step: int) -> bool:
        phase = self.config.phases[self.config.phase_at(step)]
        return hash_fraction(f"images {self.config.training.seed} {step}") < phase.image_share


def open_sets(config: TokenizerTrainingConfig) -> tuple[Index, ...]:
    """The whole sets: one to train on, and where it is given one to validate with."""
    return tuple(load_index(data) for data in (config.data.train, config.data.validation) if data is not None)


def split(indexed: tuple[Index, ...], share: float) -> tuple[Index, Index]:
    """What is trained on, and what is kept for validation: a set of its own, or a share of the one there is."""
    train, *others = indexed
    return (train, others[0]) if others else hold_out(train, share)


def stream_name(phase: int, images: bool) -> str:
    return f"phase {phase} {'images' if images else 'clips'}"


def close_others(streams: dict[str, Iterator[Batch]], phase: int | None) -> None:
    """Let go of the threads of every phase but this one."""
    for name in [name for name in streams if phase is None or not name.startswith(f"phase {phase} ")]:
        with closing(cast(Generator[Batch], streams.pop(name))):
            pass
