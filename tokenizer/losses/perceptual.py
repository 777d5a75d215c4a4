"""What a perceptual loss is, and a loss of structure and edges that needs no network.

Clips are [B, C, T, H, W] in [-1, 1], and the loss is one number per clip [B], zero for equal clips.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from tokenizer.precision import at_least_float32


class PerceptualLoss(Protocol):
    """The interface of this loss and of LPIPS; `name` is the name in the log."""

    name: str

    def __call__(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        """One number per clip [B], with a gradient. Where not all frames are compared, the step selects them."""


@dataclass(frozen=True)
class MultiscaleStructureConfig:
    """A loss of edges and local contrast. Its numbers are not comparable with LPIPS."""

    kind: Literal["multiscale_structure"]
    weight: float
    edges: float = 1.0  # weight of the difference of slopes, relative to that of the structure
    scales: int = 4

    def __post_init__(self) -> None:
        if self.weight < 0 or self.edges < 0:
            raise ValueError(f"{'weight' if self.weight < 0 else 'edges'} must not be negative in {self}")
        if self.scales < 1:
            raise ValueError(f"scales = {self.scales} must be at least 1")


class MultiscaleStructure:
    """Differences of structure and edges at several scales, in brightness and two color differences. Not LPIPS.

    Each scale has two terms. Structure: the variance of the error in a small window over the variances of both images
    there, which is 1 - (the contrast-structure factor of SSIM). So blur counts and a shift of brightness does not, and
    an error counts more in a flat region than in a detailed one. Edges: the absolute slope of the error in width,
    height and time; the slope in time is flicker.
    """

    name = "multiscale_structure"
    floor = 0.06**2  # SSIM's (0.03 * range)^2 for a range of 2: contrast below this is not visible
    smallest = 8  # smallest side of a scale, where the clip itself is not smaller

    def __init__(self, config: MultiscaleStructureConfig):
        self.config = config

    def __call__(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        x_BCTHW, y_BCTHW = opponent(at_least_float32(reconstruction)), opponent(at_least_float32(target).detach())
        scales = []
        for _ in range(self.config.scales):
            x_half, y_half = downsample_2x(x_BCTHW), downsample_2x(y_BCTHW)
            error = x_BCTHW - y_BCTHW
            structure = structure_error(x_BCTHW, y_BCTHW, x_half, y_half, self.floor)
            scales.append(structure + self.config.edges * slope(error))
            if min(x_half.shape[-2:]) < self.smallest:
                break
            x_BCTHW, y_BCTHW = x_half, y_half
        return torch.stack(scales).mean(0)


def structure_error(x: Tensor, y: Tensor, x_mean: Tensor, y_mean: Tensor, floor: float) -> Tensor:
    """var(x - y) / (var(x) + var(y) + floor) in windows of 4 x 4 whose means are given; the mean of each clip [B]."""
    error = downsample_2x((x - y).square()) - (x_mean - y_mean).square()
    contrast = downsample_2x(x.square()) - x_mean.square() + downsample_2x(y.square()) - y_mean.square()
    return (error.clamp_min(0) / (contrast.clamp_min(0) + floor)).flatten(1).mean(1)


def slope(error_BCTHW: Tensor) -> Tensor:
    """Mean absolute difference of neighbors in width, height and time, summed over the three: [B]."""
    directions = [d for d in (-1, -2, -3) if error_BCTHW.shape[d] > 1]
    return sum((error_BCTHW.diff(dim=d).abs().flatten(1).mean(1) for d in directions), error_BCTHW.new_zeros(()))


def downsample_2x(x_BCTHW: Tensor) -> Tensor:
    """Halves height and width; each value is the mean of a window of 4 x 4, cut off at the border of the frame."""
    if min(x_BCTHW.shape[-2:]) < 2:
        return x_BCTHW
    frames = rearrange(x_BCTHW, "b c t h w -> (b c) t h w")
    means = F.avg_pool2d(frames, 4, stride=2, padding=1, count_include_pad=False)
    return rearrange(means, "(b c) t h w -> b c t h w", b=len(x_BCTHW))


def opponent(clip_BCTHW: Tensor) -> Tensor:
    """RGB to brightness, blue against yellow and red against cyan, each in [-1, 1]; other channels stay unchanged."""
    if clip_BCTHW.shape[1] != 3:
        return clip_BCTHW
    red, green, blue = clip_BCTHW.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)], dim=1)
