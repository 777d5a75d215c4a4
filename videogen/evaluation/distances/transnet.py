"""Features of TransNet V2's convolutions: the means of the last block. Not comparable with any FVD.

The network was made to find cuts in frames of 48 x 27 pixels, so it knows how frames follow each other, and little of
what is fine: docs/generation.md has figures.
"""

from pathlib import Path

import torch
from torch import Tensor

from videogen.evaluation.distances.extractor import Clips, sample_frames
from videogen.models.measures.folder import open_measure
from videogen.models.measures.transnet import TransNet, load_transnet

BATCH = 16  # clips


class TransNetFeatures:
    key = "frechet_transnet"
    frames, resolution = 16, (TransNet.height, TransNet.width)
    comparable, published_clips, population = False, 0, False

    def __init__(self, folder: Path, device: str = "cpu"):
        opened = open_measure(folder, "transnet")
        self.network, self.device = load_transnet(opened.weights()).to(device), device
        self.name = f"TransNet V2 {opened.name}"

    @torch.no_grad()
    def __call__(self, clips_BTHWC: Clips) -> Tensor:
        parts = [clips_BTHWC[first : first + BATCH] for first in range(0, len(clips_BTHWC), BATCH)]
        pixels = (sample_frames(part, self.frames, self.resolution) for part in parts)
        return torch.cat([self.network(part.to(self.device)).mean((2, 3, 4)).cpu() for part in pixels])
