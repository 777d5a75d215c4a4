"""What Frechet distances notice: playroom clips against the same clips with noise, blur, flicker, and other times.

    python -m benchmarks.generation.distances --transnet FOLDER [--i3d FOLDER]

The reference and the clips are different scenes, so equal sets have a distance too; figures are multiples of it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from videogen.clip_spec import ClipSpec
from videogen.evaluation.distances.distance import TITLES, Distance, references
from videogen.evaluation.distances.extractor import Extractor
from videogen.evaluation.distances.folders import extractors_of
from videogen.evaluation.generation.features import RandomMotionBank
from videogen.evaluation.generation.networks import ReferenceClips
from videogen.evaluation.generation.prompts import reference_scenes, true_clips

FRAMES, SIZE, FPS = 16, 64, 8.0
OTHER_SCENES = 100_000  # scenes of the reference before the first one here


def noisy(deviation: float, per_frame: bool = False) -> Callable[[Tensor], Tensor]:
    """Gaussian noise in gray levels: of each pixel, or one number for each frame, which is flicker."""

    def change(clips: Tensor) -> Tensor:
        shape = (*clips.shape[:2], 1, 1, 1) if per_frame else clips.shape
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * deviation
        return (clips.float() + noise).round().clamp(0, 255).to(torch.uint8)

    return change


def blurred(side: int) -> Callable[[Tensor], Tensor]:
    """The mean of a window."""

    def change(clips: Tensor) -> Tensor:
        frames = clips.flatten(0, 1).permute(0, 3, 1, 2).float()
        padded = F.pad(frames, (side // 2,) * 4, mode="replicate")
        means = F.avg_pool2d(padded, side, stride=1).round().to(torch.uint8)
        return means.permute(0, 2, 3, 1).reshape(clips.shape)

    return change


def shuffled(clips: Tensor) -> Tensor:
    return clips[:, torch.randperm(clips.shape[1], generator=torch.Generator().manual_seed(0))]


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda clips: clips,
    "noise of 4 gray levels": noisy(4),
    "noise of 16 gray levels": noisy(16),
    "blur of 3 x 3": blurred(3),
    "blur of 7 x 7": blurred(7),
    "frozen": lambda clips: clips[:, :1].expand_as(clips),
    "frames shuffled": shuffled,
    "flicker of 8 gray levels": noisy(8, per_frame=True),
    "flicker of 24 gray levels": noisy(24, per_frame=True),
}


def measure(extractors: list[Extractor], count: int) -> dict[str, list[float]]:
    true = ReferenceClips(None, count, ClipSpec(SIZE, SIZE, FPS, FRAMES))
    clouds = references(extractors, map(true.read, true.batches()))
    distances = [Distance(*pair) for pair in zip(extractors, clouds, strict=True)]
    clips = true_clips(reference_scenes(count, OTHER_SCENES), FRAMES, SIZE, SIZE, FPS)
    rows = {}
    for name, change in CHANGES.items():
        changed = change(clips).contiguous().numpy()
        rows[name] = [each.of([each.extractor(changed)]) or 0.0 for each in distances]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transnet", type=Path)
    parser.add_argument("--i3d", type=Path)
    parser.add_argument("--clips", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    extractors = [RandomMotionBank(), *extractors_of(options.i3d, options.transnet, "cpu")]
    began = time.perf_counter()
    rows = measure(extractors, options.clips)
    print(f"{'':<28}" + "".join(f"{TITLES[each.key]:>12}" for each in extractors))
    for name, values in rows.items():
        multiples = (value / usual for value, usual in zip(values, rows["none"], strict=True))
        print(f"{name:<28}" + "".join(f"{multiple:>12.2f}" for multiple in multiples))
    print(f"{'the distance with none':<28}" + "".join(f"{value:>12.4g}" for value in rows["none"]))
    print(f"{options.clips} clips of {FRAMES} frames of {SIZE} x {SIZE}, {time.perf_counter() - began:.0f} s, 1 thread")


if __name__ == "__main__":
    main()
