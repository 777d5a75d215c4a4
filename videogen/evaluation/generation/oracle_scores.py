"""Scores of clips by the playroom oracle: each attribute, and clips of one and of two objects separately."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from videogen.evaluation.distances.extractor import Clips
from videogen.playroom.scene import Scene
from videogen.playroom.score import NOTHING, Score, judge

Z_95 = 1.96  # standard deviations


@dataclass
class OracleScores:
    """Counts over all judged clips, and by the number of objects in the prompt."""

    everything: Score = field(default_factory=Score)
    by_things: dict[int, Score] = field(default_factory=dict)

    @staticmethod
    def of(wanted: Iterable[Scene | None], seen: Iterable[Scene]) -> "OracleScores":
        """Compares the requested and the detected scenes; None for prompts that are not about the playroom."""
        verdicts = OracleScores()
        for asked, shown in zip(wanted, seen, strict=True):
            if asked is not None:
                verdicts.everything.add(asked, shown)
                verdicts.by_things.setdefault(len(asked.things), Score()).add(asked, shown)
        return verdicts

    def figures(self) -> dict[str, Any] | None:
        """JSON types; None if no clip was judged."""
        if not self.everything.clips:
            return None
        return {
            **self.everything.figures(),
            "all_correct_95": wilson_interval(self.everything.all_correct, self.everything.clips),
            "by_things": {things: summary(score) for things, score in sorted(self.by_things.items())},
        }


def summary(score: Score) -> dict[str, Any]:
    figures = score.figures()
    return {name: figures[name] for name in ("clips", "all_correct", "attributes", "by_attribute")}


def wilson_interval(right: int, clips: int) -> tuple[float, float]:
    """The 95 % confidence interval of a rate (Wilson, 1927)."""
    rate, weight = right / clips, Z_95**2 / clips
    middle = rate + weight / 2
    reach = Z_95 * math.sqrt(rate * (1 - rate) / clips + weight / (4 * clips))
    return max(0.0, (middle - reach) / (1 + weight)), min(1.0, (middle + reach) / (1 + weight))


def detect_scenes(clips: Clips, fps: float) -> list[Scene]:
    """The scene that the oracle detects in the middle square of each clip."""
    from videogen.io import fit
    from videogen.playroom.oracle import look

    side = min(clips.shape[2:4])
    if clips.shape[2] != clips.shape[3]:
        clips = np.stack([fit(clip, side, side) for clip in clips])
    return [seen.scene for seen in look(clips, fps)]


def describe_errors(wanted: Scene | None, seen: Scene) -> str:
    """`right`, or each wrong attribute."""
    if wanted is None:
        return "not judged: no prompt of the playroom"
    wrong = [f"{name} {asked}, seen {shown}" for name, asked, shown in judge(wanted, seen) if asked != shown]
    return f"WRONG: {'; '.join(drop_redundant(wrong))}" if wrong else "right"


def drop_redundant(wrong: Sequence[str]) -> list[str]:
    """Of a missing object, only the color."""
    return [error for error in wrong if not error.endswith(NOTHING) or error.startswith("colour")]
