"""Videos written frame by frame; the suffix of the name decides the format.

`.mp4`, `.m4v` and `.mov` are H.264 in fragments of one frame, playable up to the last frame after a kill; so are
`.mkv`, in clusters of a second, and `.webm`, which is VP9. `.avi` (H.264) and `.gif` (one palette a frame) are complete
only when they are closed. A name without a suffix is a folder of PNGs; `-` is raw RGB on standard output. The same
frames and metadata give the same bytes: no dates, no versions, one encoding thread. H.264 needs even sizes: the last
row or column of an odd one is repeated once.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.metadata import as_tags
from videogen.io.writer.output_format import FrameResampler, OutputFormat
from videogen.io.writer.sinks import Avi, Gif, Matroska, Mp4, PngFolder, QuickTime, RawPipe, Sink, SinkType, WebM

FORMATS = ".mp4, .m4v, .mov, .mkv, .webm, .avi, .gif, a folder for PNGs, or - for raw frames"
LARGEST = 16384  # pixels a side: the limit of H.264 and VP9
QUALITY = 18  # x264's crf: 0 is lossless, 18 is hard to tell from the original, 28 is moderate


class VideoWriter:
    """Writes uint8 frames [H, W, 3] or [T, H, W, 3] until it is closed; a context manager.

    The encoder is opened before the first frame is accepted, so that a missing one is found early. `fps`, `height` and
    `width` are those of the frames; `output` may change them for the file. `metadata` is JSON, see `read_metadata`.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        height: int,
        width: int,
        quality: int = QUALITY,
        output: OutputFormat = OutputFormat(),  # noqa: B008 - frozen
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 < fps <= 1000 or height < 1 or width < 1:
            raise VideoError("encoder", path, f"{width} x {height} at {fps} frames a second cannot be written")
        self.path, self._shape = str(path), (height, width, 3)
        self.fps, self.size = output.rate(fps), output.size(height, width)  # of the file
        if max(self.size) > LARGEST:
            large = f"{self.size[1]} x {self.size[0]} cannot be written"
            raise VideoError("encoder", path, f"{large}; a side has at most {LARGEST} pixels")
        self._resampler = FrameResampler(output, fps, height, width)
        self._sink: Sink | None = _sink_for(str(path))(str(path), self.fps, *self.size, quality, as_tags(metadata))

    @property
    def written(self) -> int:
        """Frames in the file so far; with another output rate it is not the number of frames given."""
        return self._resampler.frames_out

    def write(self, frames: NDArray[np.uint8]) -> None:
        if self._sink is None:
            raise VideoError("encoder", self.path, "is closed")
        for frame in frames.reshape(-1, *frames.shape[-3:]):
            if frame.shape != self._shape or frame.dtype != np.uint8:
                raise VideoError(
                    "encoder", self.path, f"was opened for uint8 {self._shape}, not {frame.dtype} {frame.shape}"
                )
            for shown in self._resampler.push(frame):
                self._sink.put(shown)

    def close(self) -> None:
        """Finish the file; closing again does nothing."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()  # also after an error: what was written stays playable


def write_video(
    path: str | Path,
    frames: NDArray[np.uint8],
    fps: float,
    output: OutputFormat = OutputFormat(),  # noqa: B008 - frozen
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a whole clip uint8 [T, H, W, 3]."""
    height, width = frames.shape[1:3]
    with VideoWriter(path, fps, height, width, output=output, metadata=metadata) as writer:
        writer.write(frames)


def _sink_for(path: str) -> SinkType:
    if path == "-":
        return RawPipe
    suffix = Path(path).suffix.lower()
    if path.endswith("/") or suffix == "":
        return PngFolder
    sinks: dict[str, SinkType] = {
        ".mp4": Mp4, ".m4v": Mp4, ".mov": QuickTime, ".mkv": Matroska, ".webm": WebM, ".avi": Avi, ".gif": Gif
    }  # fmt: skip
    if suffix not in sinks:
        raise VideoError("encoder", path, f"cannot be written as {suffix}; known: {FORMATS}")
    return sinks[suffix]
