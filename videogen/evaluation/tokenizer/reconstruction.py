"""Reconstructions beside their originals: summed up as figures, and drawn to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tokenizer.quantize import Usage
from videogen.evaluation.tokenizer.metrics import Totals, merge_totals
from videogen.io import write_video
from videogen.io.contact_sheet import contact_sheet, mosaic


@dataclass(frozen=True)
class ReconstructionMetrics:
    """What any number of clips add up to."""

    totals: Totals
    usage: Usage
    clips: int = 0

    @staticmethod
    def none(codebooks: Sequence[int]) -> "ReconstructionMetrics":
        return ReconstructionMetrics(Totals(), Usage.none(codebooks))

    def plus(self, frames_BTHWC: Tensor, originals_BTHWC: Tensor, codes_BTNK: Tensor) -> "ReconstructionMetrics":
        """With some more whole clips, bytes on the CPU."""
        pairs = zip(frames_BTHWC, originals_BTHWC, strict=True)
        each = [Totals().plus_frames(frames, originals) for frames, originals in pairs]
        totals = replace(merge_totals([self.totals, *each]), last=None)
        return ReconstructionMetrics(totals, self.usage.plus(codes_BTNK), self.clips + len(each))

    def joined(self, other: "ReconstructionMetrics") -> "ReconstructionMetrics":
        """What both have judged, every frame counting alike."""
        totals = merge_totals([self.totals, other.totals])
        return ReconstructionMetrics(totals, self.usage.joined(other.usage), self.clips + other.clips)


def draw_pairs(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8], fps: float, place: Path
) -> tuple[Path, Path]:
    """Originals over reconstructions, uint8 [N, T, H, W, 3]: a still picture (`place`.png) and a film (`place`.mp4)."""
    pairs = [np.concatenate(pair, axis=1) for pair in zip(originals, reconstructions, strict=True)]
    still, film = place.with_suffix(".png"), place.with_suffix(".mp4")
    scale = max(1, round(112 / originals.shape[2]))
    captions = [f"clip {number}: above the original, below what its tokens give back" for number in range(len(pairs))]
    contact_sheet(pairs, captions, scale=scale).save(still)
    write_video(film, mosaic(pairs, columns=min(len(pairs), 8), scale=scale), fps)
    return still, film
