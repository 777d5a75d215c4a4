"""Evaluates clips by the playroom oracle, Frechet distances and the CLIP score."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor

from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, load_index
from videogen.evaluation.distances.distance import Distance
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.clip_sources import ClipSource
from videogen.evaluation.generation.oracle_scores import OracleScores, describe_errors, detect_scenes
from videogen.evaluation.generation.pretrained import ClipScore
from videogen.evaluation.generation.prompts import Prompts, reference_scenes, true_clips
from videogen.playroom.scene import Scene

OnProgress = Callable[[int, int], None]
SAMPLES = 16  # clips of a contact sheet
REFERENCE_BATCH = 64  # clips in memory


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
    row, total = ClipSetResult(name, sampler), len(prompts.captions)
    for first in range(0, total, batch):
        numbers = range(first, min(first + batch, total))
        began = time.perf_counter()
        clips, steps = source(numbers)
        row.seconds += time.perf_counter() - began
        row.frames += clips.shape[0] * clips.shape[1]
        row.steps += [steps] * len(numbers)
        row.seen += detect_scenes(clips, evaluator.fps)
        for distance in evaluator.distances:
            if distance.reference is not None:
                row.features.setdefault(distance.key, []).append(distance.extractor(clips))
        if evaluator.clip_score is not None:
            row.clip_scores += evaluator.clip_score(clips, [prompts.captions[number] for number in numbers])
        row.drawn += [clip.copy() for clip in clips[: max(0, SAMPLES - len(row.drawn))]]
        if on_progress is not None:
            on_progress(numbers.stop, total)
    return row


def shuffled_baseline(row: ClipSetResult, prompts: Prompts, evaluator: Evaluator) -> dict[str, Any]:
    """The same clips against the prompts of other clips: the rates of chance."""
    half = max(1, len(prompts.wanted) // 2)
    others = Prompts(prompts.name, prompts.captions, prompts.wanted[half:] + prompts.wanted[:half])
    chance = ClipSetResult(f"{row.name}, prompts shuffled", seen=row.seen)
    return chance.figures(others, evaluator)


def playroom_clips(clips: int, frames: int, height: int, width: int, fps: float) -> Iterator[Clips]:
    """Rendered scenes that no prompt asks for, reproducible without files, in batches."""
    starts = range(0, clips, REFERENCE_BATCH)
    scenes = (reference_scenes(min(REFERENCE_BATCH, clips - start), start) for start in starts)
    return (true_clips(some, frames, height, width, fps).numpy() for some in scenes)


def data_clips(data: Path, clips: int, frames: int, height: int, width: int, fps: float) -> Iterator[Clips]:
    """The first clips of an indexed dataset, one by one."""
    dataset = ClipDataset(load_index(data), ClipSpec(height, width, fps, frames), seed=0, max_bad_fraction=1.0)
    numbers = range(min(clips, len(dataset)))
    return (dataset.sample(0, number).clip[None] for number in numbers)


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
