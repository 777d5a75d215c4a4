"""How a video is shown in its file: at another frame rate, and larger or smaller than it was made."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Resampling = Literal["nearest", "lanczos"]
Picture = NDArray[np.uint8]  # [H, W, 3]


@dataclass(frozen=True)
class OutputFormat:
    """`fps` repeats or drops frames, so that the speed stays; `scale` is a factor, or a size (height, width)."""

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
        """Of a picture that was made in this size."""
        if isinstance(self.scale, tuple):
            return self.scale
        factor = 1.0 if self.scale is None else self.scale
        return max(1, round(height * factor)), max(1, round(width * factor))

    def rate(self, fps: float) -> float:
        return fps if self.fps is None else self.fps


class FrameResampler:
    """Pictures of one rate and size in, those of the format out, as soon as each is known."""

    def __init__(self, output: OutputFormat, fps: float, height: int, width: int) -> None:
        self._size, self._made, self._resampling = output.size(height, width), (height, width), output.resampling
        self._speed = exact(output.rate(fps)) / exact(fps)  # pictures out for each that comes in
        self.taken = self.given = 0

    def push(self, picture: Picture) -> Iterator[Picture]:
        """The pictures that begin while this one is shown: none, one or several."""
        self.taken += 1
        due = math.ceil(self.taken * self._speed) - self.given
        if due <= 0:
            return
        shown = picture if self._size == self._made else resized(picture, self._size, self._resampling)
        for _ in range(due):
            self.given += 1
            yield shown


def exact(fps: float) -> Fraction:
    """The rate that a file keeps of it, such as 30000/1001."""
    return max(Fraction(fps).limit_denominator(1001), Fraction(1, 1001))


def resized(picture: Picture, size: tuple[int, int], resampling: Resampling) -> Picture:
    from PIL import Image

    how = Image.Resampling.NEAREST if resampling == "nearest" else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), how))
