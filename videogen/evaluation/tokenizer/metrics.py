"""PSNR, SSIM and flicker of a reconstruction, per frame or accumulated over a stream.

Frames are uint8 tensors [T, H, W, C] on any device: metrics are computed after rounding, on what a viewer sees.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from videogen.errors import DataError

PEAK = 255.0
BEST_PSNR = 100.0  # of identical frames, so that means stay finite
WINDOW, SIGMA = 11, 1.5
LUMINANCE_FLOOR, CONTRAST_FLOOR = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


@dataclass(frozen=True)
class Quality:
    """PSNR in dB, SSIM at most 1, flicker in gray levels of 255."""

    frames: int
    psnr: float  # mean over frames
    psnr_pooled: float  # of the mean squared error of all frames
    psnr_worst: float
    ssim: float
    flicker: float  # 0 for a single frame


@dataclass(frozen=True)
class Totals:
    """Running sums over a stream of frames, of constant size."""

    frames: int = 0
    squared_error: float = 0.0  # this and the next: sums over frames of the mean of each frame
    psnr: float = 0.0
    psnr_worst: float = BEST_PSNR
    ssim: float = 0.0
    flicker: float = 0.0
    steps: int = 0  # pairs of consecutive frames
    last: tuple[Tensor, Tensor] | None = None

    def plus_frames(self, reconstruction: Tensor, original: Tensor) -> "Totals":
        """Adds the next frames; any split into calls gives the same totals up to float rounding."""
        check_same_shape(reconstruction, original)
        if len(original) == 0:
            return self
        error = mean_squared_error(reconstruction, original)
        each = decibels(error)
        jumps = self._jumps(reconstruction, original)
        return Totals(
            frames=self.frames + len(original),
            squared_error=self.squared_error + float(error.sum()),
            psnr=self.psnr + float(each.sum()),
            psnr_worst=min(self.psnr_worst, float(each.min())),
            ssim=self.ssim + float(ssim(reconstruction, original).sum()),
            flicker=self.flicker + float(jumps.sum()),
            steps=self.steps + len(jumps),
            last=(reconstruction[-1:].clone(), original[-1:].clone()),
        )

    def _jumps(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        if self.last is None:
            return flicker(reconstruction, original)
        return flicker(torch.cat([self.last[0], reconstruction]), torch.cat([self.last[1], original]))

    def quality(self) -> Quality:
        """The means so far; DataError if there were no frames."""
        if self.frames == 0:
            raise DataError("no frames were compared")
        return Quality(
            frames=self.frames,
            psnr=self.psnr / self.frames,
            psnr_pooled=float(decibels(torch.tensor(self.squared_error / self.frames, dtype=torch.float64))),
            psnr_worst=self.psnr_worst,
            ssim=self.ssim / self.frames,
            flicker=self.flicker / max(1, self.steps),
        )


def merge_totals(streams: Sequence[Totals]) -> Totals:
    """The totals of several streams, weighted by frames; no step joins one stream to the next."""
    summed = ("frames", "squared_error", "psnr", "ssim", "flicker", "steps")
    sums = {name: sum(getattr(stream, name) for stream in streams) for name in summed}
    return Totals(**sums, psnr_worst=min((stream.psnr_worst for stream in streams), default=BEST_PSNR))


def psnr(reconstruction: Tensor, original: Tensor) -> Tensor:
    """PSNR of each frame over all channels: float64 [T] in dB, at most 100."""
    check_same_shape(reconstruction, original)
    return decibels(mean_squared_error(reconstruction, original))


def ssim(reconstruction: Tensor, original: Tensor) -> Tensor:
    """SSIM of each frame: float64 [T], with the published Gaussian window of 11 x 11 and sigma 1.5, without padding.

    For color it is the mean over channels, as in scikit-image.
    """
    check_same_shape(reconstruction, original)
    if min(original.shape[1:3]) < WINDOW:
        raise DataError(
            f"SSIM needs frames of at least {WINDOW} x {WINDOW} pixels; these are {describe_shape(original)}"
        )
    frames = zip(reconstruction, original, strict=True)  # one at a time: a frame has eight float64 maps
    values = [ssim_of_frame(channels_first(x), channels_first(y)) for x, y in frames]
    return torch.stack(values) if values else torch.empty(0, dtype=torch.float64, device=original.device)


def flicker(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Change of the error from each frame to the next: float64 [T - 1], in mean absolute gray levels.

    A constant error has no flicker.
    """
    check_same_shape(reconstruction, original)
    errors = [difference(x, y) for x, y in zip(reconstruction, original, strict=True)]
    steps = [(after - before).abs().double().mean() for before, after in pairwise(errors)]
    return torch.stack(steps) if steps else torch.empty(0, dtype=torch.float64, device=original.device)


def mean_squared_error(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Mean squared error of each frame: float64 [T], exact, because squares are summed as integers."""
    squares = [difference(x, y).square().sum(dtype=torch.int64) for x, y in zip(reconstruction, original, strict=True)]
    total = torch.stack(squares) if squares else torch.empty(0, dtype=torch.int64, device=original.device)
    return total.double() / math.prod(original.shape[1:])


def decibels(squared_error: Tensor) -> Tensor:
    return torch.clamp(20 * math.log10(PEAK) - 10 * torch.log10(squared_error), max=BEST_PSNR)


def ssim_of_frame(x_CHW: Tensor, y_CHW: Tensor) -> Tensor:
    maps = torch.stack([x_CHW, y_CHW, x_CHW.square(), y_CHW.square(), x_CHW * y_CHW])
    mean_x, mean_y, xx, yy, xy = gaussian_means(maps).unbind()
    var_x, var_y, covariance = xx - mean_x.square(), yy - mean_y.square(), xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + LUMINANCE_FLOOR) / (mean_x.square() + mean_y.square() + LUMINANCE_FLOOR)
    contrast = (2 * covariance + CONTRAST_FLOOR) / (var_x + var_y + CONTRAST_FLOOR)
    return (luminance * contrast).mean()


def gaussian_means(maps: Tensor) -> Tensor:
    """Gaussian means [..., H - 10, W - 10], separable; sums of shifted slices are the fastest way on CPUs."""
    height, width = maps.shape[-2] - WINDOW + 1, maps.shape[-1] - WINDOW + 1
    weights = [math.exp(-((i - WINDOW // 2) ** 2) / (2 * SIGMA**2)) for i in range(WINDOW)]
    weights = [weight / sum(weights) for weight in weights]
    rows = sum((weight * maps[..., i : i + height, :] for i, weight in enumerate(weights)), maps.new_zeros(()))
    return sum((weight * rows[..., i : i + width] for i, weight in enumerate(weights)), maps.new_zeros(()))


def difference(x_HWC: Tensor, y_HWC: Tensor) -> Tensor:
    return x_HWC.to(torch.int32) - y_HWC.to(torch.int32)


def channels_first(frame_HWC: Tensor) -> Tensor:
    return frame_HWC.permute(2, 0, 1).double().contiguous()


def check_same_shape(reconstruction: Tensor, original: Tensor) -> None:
    for name, frames in (("reconstruction", reconstruction), ("original", original)):
        if frames.dtype != torch.uint8 or frames.ndim != 4:
            raise ValueError(f"the {name} must be uint8 [T, H, W, C], not {frames.dtype} {list(frames.shape)}")
    if reconstruction.shape != original.shape:
        raise DataError(
            f"frames cannot be compared: {describe_shape(reconstruction)} against {describe_shape(original)}"
        )


def describe_shape(frames: Tensor) -> str:
    count, height, width, channels = frames.shape
    return f"{count} frames of {height} x {width} pixels in {channels} channels"
