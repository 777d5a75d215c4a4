"""Metrics over any number of reconstructed clips, and images of originals above reconstructions."""

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
    """Sums over any number of clips: quality of frames and usage of codes."""

    totals: Totals
    usage: Usage
    clips: int = 0

    @staticmethod
    def none(codebooks: Sequence[int]) -> "ReconstructionMetrics":
        return ReconstructionMetrics(Totals(), Usage.none(codebooks))

    def plus(self, frames_BTHWC: Tensor, originals_BTHWC: Tensor, codes_BTNK: Tensor) -> "ReconstructionMetrics":
        """Adds whole clips, uint8 on the CPU."""
        pairs = zip(frames_BTHWC, originals_BTHWC, strict=True)
        each = [Totals().plus_frames(frames, originals) for frames, originals in pairs]
        totals = replace(merge_totals([self.totals, *each]), last=None)
        return ReconstructionMetrics(totals, self.usage.plus(codes_BTNK), self.clips + len(each))

    def joined(self, other: "ReconstructionMetrics") -> "ReconstructionMetrics":
        """The sums over the clips of both, weighted by frames."""
        totals = merge_totals([self.totals, other.totals])
        return ReconstructionMetrics(totals, self.usage.joined(other.usage), self.clips + other.clips)


def draw_pairs(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8], fps: float, place: Path
) -> tuple[Path, Path]:
    """Writes originals above reconstructions, uint8 [N, T, H, W, 3], as `place`.png and `place`.mp4."""
    pairs = [np.concatenate(pair, axis=1) for pair in zip(originals, reconstructions, strict=True)]
    still, film = place.with_suffix(".png"), place.with_suffix(".mp4")
    scale = max(1, round(112 / originals.shape[2]))
    captions = [f"clip {number}: original above, reconstruction below" for number in range(len(pairs))]
    contact_sheet(pairs, captions, scale=scale).save(still)
    write_video(film, mosaic(pairs, columns=min(len(pairs), 8), scale=scale), fps)
    return still, film
