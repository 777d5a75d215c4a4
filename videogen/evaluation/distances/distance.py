"""A Frechet distance to a fixed set of true clips, and what a report says of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videogen.evaluation.distances.extractor import Clips, Extractor
from videogen.evaluation.distances.frechet import FeatureStatistics, frechet_distance

TITLES = {"frechet": "Frechet", "fvd_i3d": "FVD", "frechet_transnet": "TransNet"}  # in tables, by the key of figures


@dataclass(frozen=True, eq=False)
class Distance:
    """Without a reference there is no distance."""

    extractor: Extractor
    reference: FeatureStatistics | None = None
    reference_name: str = ""

    @property
    def key(self) -> str:
        return self.extractor.key

    def of(self, features: Sequence[Tensor]) -> float | None:
        """The distance of these features [B, F] in batches; None without a reference, or with a single clip."""
        together = torch.cat([*features])
        if self.reference is None or len(together) < 2:
            return None
        return frechet_distance(FeatureStatistics.of(together, self.extractor.population), self.reference)

    def pinned(self, frames: int, clips: int) -> dict[str, Any]:
        """Everything that the distance depends on, for clips of so many frames; only their number is beside it."""
        bank, true = self.extractor, self.reference.clips if self.reference else 0
        lacking = differences(bank, frames, clips, true)
        return {
            "extractor": bank.name,
            "frames": min(bank.frames, frames),
            "resolution": list(bank.resolution),
            "comparable_with_published_figures": bank.comparable and not lacking,
            "reference": self.reference_name,
            "reference_clips": true,
            **({"differs_from_published": lacking} if bank.published_clips else {}),
        }


def describe(pinned: Mapping[str, Any], clips: int) -> str:
    """What a distance depends on, for people."""
    side = " x ".join(map(str, pinned["resolution"]))
    why = f" ({', '.join(lacking)})" if (lacking := pinned.get("differs_from_published")) else ""
    warning = "" if pinned["comparable_with_published_figures"] else f"; not comparable with published FVD{why}"
    how = f"{pinned['extractor']}, {pinned['frames']} frames of {side}, {clips} clips"
    return f"{how}, against {pinned['reference_clips']} of {pinned['reference']}{warning}"


def differences(bank: Extractor, frames: int, clips: int, true: int) -> list[str]:
    """In what this set of clips differs from those of published figures."""
    if not bank.published_clips:
        return []
    wanted = {"frames": (frames, bank.frames), "clips": (clips, bank.published_clips)}
    wanted["true clips"] = (true, bank.published_clips)
    return [f"{have:,} of {want:,} {what}" for what, (have, want) in wanted.items() if have < want]


def references(extractors: Sequence[Extractor], batches: Iterable[Clips]) -> list[FeatureStatistics]:
    """Statistics of the same clips for each extractor, read once."""
    return statistics_of(extractors, ([extractor(clips) for extractor in extractors] for clips in batches))


def statistics_of(extractors: Sequence[Extractor], batches: Iterable[Sequence[Tensor]]) -> list[FeatureStatistics]:
    """Of features in batches, one tensor for each extractor."""
    pairs = zip(zip(*batches, strict=True), extractors, strict=True)
    return [FeatureStatistics.of(torch.cat(features), extractor.population) for features, extractor in pairs]
