"""Evaluates clips by the playroom oracle, the Frechet distance and the CLIP score."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, load_index
from videogen.evaluation.generation.clip_sources import ClipSource
from videogen.evaluation.generation.features import Extractor
from videogen.evaluation.generation.frechet import FeatureStatistics, frechet_distance
from videogen.evaluation.generation.oracle_scores import OracleScores, describe_errors, detect_scenes
from videogen.evaluation.generation.pretrained import ClipScore
from videogen.evaluation.generation.prompts import Clips, Prompts, reference_scenes, true_clips
from videogen.playroom.scene import Scene

OnProgress = Callable[[int, int], None]
SAMPLES = 16  # clips of a contact sheet
REFERENCE_BATCH = 64  # clips in memory


@dataclass(frozen=True, eq=False)
class Evaluator:
    """The measures of clips, the same for all rows of a report."""

    fps: float
    extractor: Extractor
    frames: int  # of a clip
    reference: FeatureStatistics | None = None  # of true clips
    reference_name: str = ""
    clip_score: ClipScore | None = None

    def pinned(self) -> dict[str, Any]:
        """Everything but the clips that the Frechet distance and the CLIP score depend on."""
        bank = self.extractor
        return {
            "oracle": "videogen.playroom.oracle",
            "frechet": {
                "extractor": bank.name,
                "frames": min(bank.frames, self.frames),
                "resolution": [bank.size, bank.size],
                "comparable_with_published_figures": bank.comparable,
                "reference": self.reference_name,
                "reference_clips": self.reference.clips if self.reference else 0,
            },
            "clip_score": self.clip_score.name if self.clip_score else None,
        }


@dataclass
class ClipSetResult:
    """The measures of one set of clips, accumulated batch by batch."""

    name: str
    sampler: dict[str, Any] | None = None  # settings; None if no model made the clips
    seen: list[Scene] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    clip_scores: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    drawn: list[Clips] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0

    def figures(self, prompts: Prompts, evaluator: Evaluator) -> dict[str, Any]:
        oracle = OracleScores.of(prompts.wanted, self.seen).figures()
        distance = None
        if evaluator.reference is not None and len(self.seen) > 1:
            distance = frechet_distance(FeatureStatistics.of(torch.cat(self.features)), evaluator.reference)
        return {
            "name": self.name,
            "sampler": self.sampler,
            "clips": len(self.seen),
            "oracle": oracle,
            "frechet": distance,
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
        row.features.append(evaluator.extractor(clips))
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
    return chance.figures(others, Evaluator(evaluator.fps, evaluator.extractor, evaluator.frames))


def statistics_of(extractor: Extractor, batches: Iterable[Clips]) -> FeatureStatistics:
    return FeatureStatistics.of(torch.cat([extractor(clips) for clips in batches]))


def playroom_reference(
    extractor: Extractor, clips: int, frames: int, height: int, width: int, fps: float
) -> FeatureStatistics:
    """Feature statistics of rendered scenes that no prompt asks for, reproducible without files."""
    starts = range(0, clips, REFERENCE_BATCH)
    scenes = (reference_scenes(min(REFERENCE_BATCH, clips - start), start) for start in starts)
    return statistics_of(extractor, (true_clips(some, frames, height, width, fps).numpy() for some in scenes))


def data_reference(
    extractor: Extractor, data: Path, clips: int, frames: int, height: int, width: int, fps: float
) -> FeatureStatistics:
    """Feature statistics of the first clips of an indexed dataset."""
    dataset = ClipDataset(load_index(data), ClipSpec(height, width, fps, frames), seed=0, max_bad_fraction=1.0)
    numbers = range(min(clips, len(dataset)))
    return statistics_of(extractor, (dataset.sample(0, number).clip[None] for number in numbers))


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
