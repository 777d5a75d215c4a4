"""One strict pass over a whole file: the time and the hash of each frame."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.reader.container import open_checked, translate_errors
from videogen.io.reader.strict import displayed, frames, quarter_turns, time_of, to_rgb
from videogen.io.source import ReadLimits, Source


@dataclass(frozen=True)
class Scan:
    """A video that was read whole, with one entry for each frame in `pts` (units of `time_base` seconds) and `hashes`.

    `width`, `height` and the hashes are of the frame as displayed: turned by `rotation` degrees, as RGB. Decoding can
    begin at the frames `keyframes`. `transparent_frames` were composed onto black; `missing_frames` is how many fewer
    there are than the header promises, in a file that is whole. JSON types only.
    """

    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    time_base: tuple[int, int]
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    hashes: tuple[str, ...]
    transparent_frames: int = 0
    missing_frames: int = 0

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame is shown, the first at 0."""
        ticks = np.array(self.pts, dtype=np.int64) - self.pts[0]
        return np.asarray(ticks * (self.time_base[0] / self.time_base[1]), dtype=np.float64)

    @property
    def fps(self) -> float:
        """Mean frame rate; 0 for a single frame."""
        last = float(self.seconds[-1])
        return (len(self.pts) - 1) / last if last > 0 else 0.0


def scan(source: Source, limits: ReadLimits = ReadLimits()) -> Scan:  # noqa: B008 - frozen
    """Read the whole file once, strictly; VideoError says why it is refused."""
    pts: list[int] = []
    keyframes: list[int] = []
    hashes: list[str] = []
    shape: tuple[int, ...] = ()
    rotation, pixel_format, transparent = 0, "", 0
    with open_checked(source, limits) as video, translate_errors(video.name):
        for frame in frames(video, limits):
            rgb, has_alpha = displayed(frame)
            transparent += has_alpha
            if not pts:
                shape, rotation, pixel_format = rgb.shape, 90 * quarter_turns(frame), frame.format.name
            elif rgb.shape != shape:
                raise VideoError("corrupt", video.name, f"the rotation changes at frame {len(pts)}")
            if frame.key_frame:
                keyframes.append(len(pts))
            pts.append(time_of(frame))
            hashes.append(frame_hash(rgb))
        return Scan(
            container=video.container.format.name,
            codec=video.decoder.name,
            pixel_format=pixel_format,
            width=shape[1],
            height=shape[0],
            rotation=rotation,
            time_base=(video.time_base.numerator, video.time_base.denominator),
            pts=tuple(pts),
            keyframes=tuple(keyframes),
            hashes=tuple(hashes),
            transparent_frames=transparent,
            missing_frames=video.missing_frames,
        )


def stream(source: Source, limits: ReadLimits = ReadLimits()) -> Iterator[tuple[float, NDArray[np.uint8]]]:  # noqa: B008
    """(seconds since the first frame, uint8 [H, W, 3]) of each frame in order, strictly, in constant memory.

    Damage is found where it is, or at the end, so frames may come before the VideoError.
    """
    with open_checked(source, limits) as video, translate_errors(video.name):
        first = None
        for frame in frames(video, limits):
            first = time_of(frame) if first is None else first
            yield float((time_of(frame) - first) * video.time_base), to_rgb(frame)


def frame_hash(frame: NDArray[np.uint8]) -> str:
    """16 hexadecimal digits of the SHA-256 of the frame's bytes (2 GB/s with hardware support)."""
    return hashlib.sha256(np.ascontiguousarray(frame).data).hexdigest()[:16]
