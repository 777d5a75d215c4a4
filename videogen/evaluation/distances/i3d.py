"""Features of I3D for the Frechet video distance (Unterthiner et al., "FVD", 2019).

The protocol is that of StyleGAN-V (Skorokhodov et al., 2022), which fixed what the paper left open: 16 frames, each
resized to 224 x 224 whatever its shape, by bilinear interpolation without antialiasing; pixels in [-1, 1]; the 400
logits of Kinetics-400; covariances that are means over all clips; 2,048 clips on both sides.
"""

from pathlib import Path

import torch
from torch import Tensor

from videogen.evaluation.distances.extractor import Clips, sample_frames
from videogen.models.measures.folder import open_measure
from videogen.models.measures.i3d import I3D, load_i3d

BATCH = 4  # clips


class I3DFeatures:
    key = "fvd_i3d"
    frames, resolution = I3D.frames, (I3D.size, I3D.size)
    comparable, published_clips, population = True, 2048, True

    def __init__(self, folder: Path, device: str = "cpu"):
        opened = open_measure(folder, "i3d")
        self.network, self.device = load_i3d(opened.weights()).to(device), device
        self.name = f"I3D {opened.name}, protocol of StyleGAN-V"

    @torch.no_grad()
    def __call__(self, clips_BTHWC: Clips) -> Tensor:
        parts = [clips_BTHWC[first : first + BATCH] for first in range(0, len(clips_BTHWC), BATCH)]
        return torch.cat([self.network(i3d_pixels(part).to(self.device)).cpu() for part in parts])


def i3d_pixels(clips_BTHWC: Clips) -> Tensor:
    """float [B, 3, 16, 224, 224] in [-1, 1]."""
    return sample_frames(clips_BTHWC, I3D.frames, I3D.size, antialias=False) * 2 - 1
