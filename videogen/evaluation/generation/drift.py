"""Drift of long streams: each measure on windows along the streams, as a curve over time."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.clip_sources import ChunkStream, sliding_windows
from videogen.evaluation.generation.evaluator import Evaluator
from videogen.evaluation.generation.oracle_scores import OracleScores, detect_scenes
from videogen.playroom.scene import Scene

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class DriftPlan:
    """The number and length of the streams, and of the windows along them."""

    streams: int
    frames: int
    window: int
    hop: int

    def starts(self) -> range:
        return range(0, self.frames - self.window + 1, self.hop)


@dataclass
class DriftCurve:
    """One value of each measure for each window."""

    seconds: list[float] = field(default_factory=list)  # of the middle of the window
    measures: dict[str, list[float]] = field(default_factory=dict)
    stills: list[Clips] = field(default_factory=list)  # the first frame of each window, [streams, H, W, 3]

    def add(self, second: float, measures: dict[str, float], still: Clips) -> None:
        self.seconds.append(second)
        self.stills.append(still)
        for name, value in measures.items():
            self.measures.setdefault(name, []).append(value)

    def figures(self) -> dict[str, Any]:
        return {"seconds": self.seconds, **self.measures}


def measure_drift(
    chunks: ChunkStream,
    wanted: Sequence[Scene | None],
    evaluator: Evaluator,
    plan: DriftPlan,
    captions: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> DriftCurve:
    """Oracle rates, change, Frechet distance and CLIP score on each window of the streams.

    `change` is the mean absolute difference of consecutive frames in gray levels: a frozen stream has little.
    """
    curve, starts = DriftCurve(), plan.starts()
    for done, (start, clips) in enumerate(sliding_windows(chunks, plan.window, plan.hop, plan.frames), 1):
        measures = {
            **attribute_rates(wanted, detect_scenes(clips, evaluator.fps)),
            **other_measures(clips, evaluator, captions),
        }
        curve.add((start + plan.window / 2) / evaluator.fps, measures, clips[:, 0].copy())
        if on_progress is not None:
            on_progress(done, len(starts))
    return curve


def attribute_rates(wanted: Sequence[Scene | None], seen: Sequence[Scene]) -> dict[str, float]:
    """Rates of clips that are entirely right, of right attributes, and of each attribute; empty without an oracle."""
    oracle = OracleScores.of(wanted, seen).figures()
    if oracle is None:
        return {}
    return {"all right": oracle["all_correct"], "attributes": oracle["attributes"], **oracle["by_attribute"]}


def other_measures(clips: Clips, evaluator: Evaluator, captions: Sequence[str]) -> dict[str, float]:
    measures = {}
    if clips.shape[1] > 1:
        measures["change"] = float(np.abs(np.diff(clips.astype(np.int16), axis=1)).mean())
    for distance in evaluator.distances:
        if distance.reference is not None and (value := distance.of([distance.extractor(clips)])) is not None:
            measures[distance.key] = value
    if evaluator.clip_score is not None and captions:
        scores = evaluator.clip_score(clips, captions)
        measures["clip score"] = sum(scores) / len(scores)
    return measures


def attribute_loss(curve: DriftCurve, measure: str = "attributes") -> float | None:
    """The mean of a measure over the last quarter of the windows, minus that over the first quarter."""
    values = curve.measures.get(measure)
    if not values or len(values) < 2:
        return None
    quarter = max(1, len(values) // 4)
    return sum(values[-quarter:]) / quarter - sum(values[:quarter]) / quarter


def choose_streams(wanted: Sequence[Scene | None], count: int) -> tuple[int, ...]:
    """Numbers of the prompts to stream: those the oracle can judge first, alternating by number of objects."""
    things = [len(scene.things) if scene is not None else 0 for scene in wanted]
    seen: Counter[int] = Counter()
    turns = []
    for number, kind in enumerate(things):
        turns.append((kind == 0, seen[kind], number))
        seen[kind] += 1
    return tuple(number for _, _, number in sorted(turns)[:count])
