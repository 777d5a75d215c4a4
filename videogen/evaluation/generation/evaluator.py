"""Evaluates clips by the playroom oracle, Frechet distances and the CLIP score."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from torch import Tensor

from videogen.evaluation.distances.distance import Distance
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.clip_sources import ClipSource
from videogen.evaluation.generation.oracle_scores import OracleScores, describe_errors, detect_scenes
from videogen.evaluation.generation.pretrained import ClipScore
from videogen.evaluation.generation.prompts import Prompts
from videogen.playroom.scene import Scene

OnProgress = Callable[[int, int], None]
SAMPLES = 16  # clips of a contact sheet


@dataclass(frozen=True, eq=False)
class Evaluator:
    """The measures of clips, the same for all rows of a report."""

    fps: float
    frames: int  # of a clip
    distances: tuple[Distance, ...] = ()  # with different keys
    clip_score: ClipScore | None = None

    def pinned(self, clips: int) -> dict[str, Any]:
        """Everything that the Frechet distances and the CLIP score of so many clips depend on but the clips."""
        return {
            "oracle": "videogen.playroom.oracle",
            **{distance.key: distance.pinned(self.frames, clips) for distance in self.distances},
            "clip_score": self.clip_score.name if self.clip_score else None,
        }


@dataclass(frozen=True, eq=False)
class BatchMeasures:
    """The measures of one batch of clips."""

    seen: list[Scene]
    features: dict[str, Tensor]  # of each distance
    clip_scores: list[float]
    steps: list[float]
    drawn: list[Clips]
    frames: int
    seconds: float


@dataclass
class ClipSetResult:
    """The measures of one set of clips, accumulated batch by batch."""

    name: str
    sampler: dict[str, Any] | None = None  # settings; None if no model made the clips
    seen: list[Scene] = field(default_factory=list)
    features: dict[str, list[Tensor]] = field(default_factory=dict)  # of each distance
    clip_scores: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    drawn: list[Clips] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0

    def add(self, batch: BatchMeasures) -> None:
        self.seen += batch.seen
        for key, features in batch.features.items():
            self.features.setdefault(key, []).append(features)
        self.clip_scores += batch.clip_scores
        self.steps += batch.steps
        self.drawn += batch.drawn
        self.frames += batch.frames
        self.seconds += batch.seconds

    def figures(self, prompts: Prompts, evaluator: Evaluator) -> dict[str, Any]:
        oracle = OracleScores.of(prompts.wanted, self.seen).figures()
        found = self.features
        return {
            "name": self.name,
            "sampler": self.sampler,
            "clips": len(self.seen),
            "oracle": oracle,
            "frechet": None,
            **{each.key: each.of(found[each.key]) for each in evaluator.distances if each.key in found},
            "clip_score": mean(self.clip_scores),
            "steps": mean(self.steps) if self.sampler else None,
            "frames_per_second": self.frames / self.seconds if self.sampler and self.seconds else None,
        }

    def captions(self, prompts: Prompts) -> list[str]:
        """Captions of the sample clips: the prompt and what is wrong."""
        return [
            f"{prompts.captions[number]}  --  {describe_errors(prompts.wanted[number], self.seen[number])}"
            for number in range(len(self.drawn))
        ]


def evaluate_clips(
    name: str,
    source: ClipSource,
    prompts: Prompts,
    evaluator: Evaluator,
    batch: int,
    sampler: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
) -> ClipSetResult:
    """Evaluates a clip of each prompt, batch by batch; only `SAMPLES` clips are kept."""
    row = ClipSetResult(name, sampler)
    fill_row(row, source, prompts, evaluator, batch, on_progress)
    return row


def fill_row(
    row: ClipSetResult,
    source: ClipSource,
    prompts: Prompts,
    evaluator: Evaluator,
    batch: int,
    on_progress: OnProgress | None = None,
) -> None:
    for numbers in batches_of(len(prompts.captions), batch):
        row.add(measure_batch(source, numbers, prompts, evaluator))
        if on_progress is not None:
            on_progress(numbers.stop, len(prompts.captions))


def batches_of(clips: int, batch: int) -> list[range]:
    return [range(first, min(first + batch, clips)) for first in range(0, clips, batch)]


def measure_batch(source: ClipSource, numbers: range, prompts: Prompts, evaluator: Evaluator) -> BatchMeasures:
    """The measures of the clips of these prompts."""
    began = time.perf_counter()
    clips, steps = source(numbers)
    seconds = time.perf_counter() - began
    known = [distance for distance in evaluator.distances if distance.reference is not None]
    captions = [prompts.captions[number] for number in numbers]
    return BatchMeasures(
        seen=detect_scenes(clips, evaluator.fps),
        features={distance.key: distance.extractor(clips) for distance in known},
        clip_scores=[] if evaluator.clip_score is None else evaluator.clip_score(clips, captions),
        steps=[steps] * len(numbers),
        drawn=[clip.copy() for clip in clips[: max(0, SAMPLES - numbers.start)]],
        frames=clips.shape[0] * clips.shape[1],
        seconds=seconds,
    )


def shuffled_baseline(row: ClipSetResult, prompts: Prompts, evaluator: Evaluator) -> dict[str, Any]:
    """The same clips against the prompts of other clips: the rates of chance."""
    half = max(1, len(prompts.wanted) // 2)
    others = Prompts(prompts.name, prompts.captions, prompts.wanted[half:] + prompts.wanted[:half])
    chance = ClipSetResult(f"{row.name}, prompts shuffled", seen=row.seen)
    return chance.figures(others, evaluator)


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def split_progress(parts: int, on_progress: OnProgress | None) -> Callable[[], OnProgress | None]:
    """Splits one progress bar into parts of equal weight; each call returns the next part's callback."""
    numbers = count()

    def begun() -> OnProgress | None:
        number = next(numbers)
        if on_progress is None:
            return None
        return lambda done, total: on_progress(int(100 * (number + done / total) / parts), 100)

    return begun
