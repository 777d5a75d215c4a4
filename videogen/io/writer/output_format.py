"""Frame rate and size of a file, where they differ from those of the frames that are written."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Resampling = Literal["nearest", "lanczos"]
Frame = NDArray[np.uint8]  # [H, W, 3]


@dataclass(frozen=True)
class OutputFormat:
    """`fps` repeats or drops frames so that the speed stays; `scale` is a factor or a size (height, width)."""

    fps: float | None = None
    scale: float | tuple[int, int] | None = None
    resampling: Resampling = "lanczos"

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"fps is {self.fps:g}; it must be above 0 and at most 1000")
        sides = self.scale if isinstance(self.scale, tuple) else (1.0 if self.scale is None else self.scale,)
        if not all(0 < side < math.inf for side in sides):
            raise ValueError(f"scale is {self.scale}; it must be above 0")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size in the file of a frame of this size."""
        if isinstance(self.scale, tuple):
            return self.scale
        factor = 1.0 if self.scale is None else self.scale
        return max(1, round(height * factor)), max(1, round(width * factor))

    def rate(self, fps: float) -> float:
        return fps if self.fps is None else self.fps


class FrameResampler:
    """Converts frames of one rate and size into those of the output format, one at a time."""

    def __init__(self, output: OutputFormat, fps: float, height: int, width: int) -> None:
        self._size, self._input_size, self._resampling = output.size(height, width), (height, width), output.resampling
        self._speed = exact_rate(output.rate(fps)) / exact_rate(fps)  # frames out for each frame in
        self.frames_in = self.frames_out = 0

    def push(self, frame: Frame) -> Iterator[Frame]:
        """The output frames that begin while this frame is shown: none, one or several."""
        self.frames_in += 1
        due = math.ceil(self.frames_in * self._speed) - self.frames_out
        if due <= 0:
            return
        shown = frame if self._size == self._input_size else resize_frame(frame, self._size, self._resampling)
        for _ in range(due):
            self.frames_out += 1
            yield shown


def exact_rate(fps: float) -> Fraction:
    """The rate as a file stores it, such as 30000/1001."""
    return max(Fraction(fps).limit_denominator(1001), Fraction(1, 1001))


def resize_frame(frame: Frame, size: tuple[int, int], resampling: Resampling) -> Frame:
    from PIL import Image

    method = Image.Resampling.NEAREST if resampling == "nearest" else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), method))
