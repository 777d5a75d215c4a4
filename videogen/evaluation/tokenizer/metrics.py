"""How close a reconstruction is to its original: PSNR, SSIM and flicker of uint8 frames, frame by frame or as a stream.

Frames are tensors uint8 [T, H, W, C] on any device (`torch.from_numpy` shares an array's memory). What is judged is
what would be shown: pixels after rounding. This module needs torch; import it where it is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from videogen.errors import DataError

PEAK = 255.0
BEST_PSNR = 100.0  # what equal frames count as, so that means stay finite
WINDOW, SIGMA = 11, 1.5
LUMINANCE_FLOOR, CONTRAST_FLOOR = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


@dataclass(frozen=True)
class Quality:
    """PSNR in dB, SSIM at most 1, flicker in grey levels of 255."""

    frames: int
    psnr: float  # the mean of the frames' own
    psnr_pooled: float  # of the squared error of all frames together
    psnr_worst: float
    ssim: float
    flicker: float  # 0 for a single frame


@dataclass(frozen=True)
class Totals:
    """What a stream of frames adds up to: a few numbers and its last frame, however long it is."""

    frames: int = 0
    squared_error: float = 0.0  # sum over frames of the mean over a frame, and so below
    psnr: float = 0.0
    psnr_worst: float = BEST_PSNR
    ssim: float = 0.0
    flicker: float = 0.0
    steps: int = 0  # from one frame to the next
    last: tuple[Tensor, Tensor] | None = None

    def plus_frames(self, reconstruction: Tensor, original: Tensor) -> "Totals":
        """The same stream with its next frames; any cut into calls gives the same totals to float rounding."""
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
        """The means so far; at least one frame must have been seen."""
        if self.frames == 0:
            raise DataError("no frames were compared, so there is no quality to report")
        return Quality(
            frames=self.frames,
            psnr=self.psnr / self.frames,
            psnr_pooled=float(decibels(torch.tensor(self.squared_error / self.frames, dtype=torch.float64))),
            psnr_worst=self.psnr_worst,
            ssim=self.ssim / self.frames,
            flicker=self.flicker / max(1, self.steps),
        )


def merge_totals(streams: Sequence[Totals]) -> Totals:
    """The totals of several streams, every frame counting alike; there is no step from one stream to the next."""
    summed = ("frames", "squared_error", "psnr", "ssim", "flicker", "steps")
    sums = {name: sum(getattr(stream, name) for stream in streams) for name in summed}
    return Totals(**sums, psnr_worst=min((stream.psnr_worst for stream in streams), default=BEST_PSNR))


def psnr(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Of each frame: float64 [T] in dB, at most 100, over all channels."""
    check_same_shape(reconstruction, original)
    return decibels(mean_squared_error(reconstruction, original))


def ssim(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Of each frame: float64 [T], as first published: a Gaussian window of 11 x 11 with deviation 1.5 wherever it fits.

    For colour it is the mean over the channels, as in scikit-image.
    """
    check_same_shape(reconstruction, original)
    if min(original.shape[1:3]) < WINDOW:
        raise DataError(
            f"SSIM needs frames of at least {WINDOW} x {WINDOW} pixels; these are {describe_shape(original)}"
        )
    frames = zip(reconstruction, original, strict=True)  # one at a time: eight float64 maps of a frame are large
    values = [ssim_of_frame(channels_first(x), channels_first(y)) for x, y in frames]
    return torch.stack(values) if values else torch.empty(0, dtype=torch.float64, device=original.device)


def flicker(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Of each step to the next frame: float64 [T - 1], how much the error changes, in mean absolute grey levels.

    Zero where the reconstruction changes exactly as the original does, whatever a constant error may be.
    """
    check_same_shape(reconstruction, original)
    errors = [difference(x, y) for x, y in zip(reconstruction, original, strict=True)]
    steps = [(after - before).abs().double().mean() for before, after in pairwise(errors)]
    return torch.stack(steps) if steps else torch.empty(0, dtype=torch.float64, device=original.device)


def mean_squared_error(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Of each frame, exactly: float64 [T]. Squares of bytes are summed as integers."""
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
    """Gaussian means [..., H - 10, W - 10]: rows, then columns; sums of shifted slices are the fastest on CPUs."""
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
