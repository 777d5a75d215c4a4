"""Videos written while they are made; the form follows the name.

`.mp4` is H.264 in fragments of one frame, playable up to the last frame after a kill; `.webm` is VP9; `.gif` has a
palette a frame; a name without a suffix is a folder of PNGs; `-` is raw RGB on standard output. Same frames, same
bytes: no dates, no versions, one encoding thread. H.264 needs even sizes: an odd edge is repeated once.
"""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from videogen.video.errors import VideoError

if TYPE_CHECKING:
    from av import VideoFrame

FORMS = ".mp4, .webm, .gif, a folder for PNGs, or - for raw frames"
QUALITY = 18  # x264's scale: 0 loses nothing it can keep, 18 is hard to tell from the original, 28 is moderate
SLOWEST = Fraction(1, 1001)  # frames a second; below it a rate would be rounded to none
FRAGMENTS = "frag_keyframe+frag_every_frame+empty_moov+default_base_moof"


class Sink(Protocol):
    """Where pictures go, one at a time, all of one size."""

    def put(self, picture: NDArray[np.uint8]) -> None: ...
    def close(self) -> None: ...


class VideoWriter:
    """Takes uint8 frames [H, W, 3] or [T, H, W, 3] until it is closed; a context manager.

    The encoder is opened before the first frame is accepted, so that a missing one is found before anything is made.
    """

    def __init__(self, path: str | Path, fps: float, height: int, width: int, quality: int = QUALITY) -> None:
        if not 0 < fps <= 1000 or height < 1 or width < 1:
            raise VideoError("encoder", path, f"{width} x {height} at {fps} frames a second cannot be written")
        self.path, self._shape = str(path), (height, width, 3)
        self._sink: Sink | None = _sink_for(str(path))(str(path), fps, height, width, quality)

    def write(self, frames: NDArray[np.uint8]) -> None:
        if self._sink is None:
            raise VideoError("encoder", self.path, "is closed")
        for picture in frames.reshape(-1, *frames.shape[-3:]):
            if picture.shape != self._shape or picture.dtype != np.uint8:
                raise VideoError(
                    "encoder", self.path, f"was opened for uint8 {self._shape}, not {picture.dtype} {picture.shape}"
                )
            self._sink.put(picture)

    def close(self) -> None:
        """Finish the file; closing twice is closing once."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()  # also after an error: what was made stays, and stays playable


def write_video(path: str | Path, frames: NDArray[np.uint8], fps: float) -> None:
    """All frames uint8 [T, H, W, 3] at once."""
    with VideoWriter(path, fps, frames.shape[1], frames.shape[2]) as writer:
        writer.write(frames)


def _sink_for(path: str) -> Callable[[str, float, int, int, int], Sink]:
    if path == "-":
        return RawPipe
    suffix = Path(path).suffix.lower()
    if path.endswith("/") or suffix == "":
        return PngFolder
    sinks: dict[str, Callable[[str, float, int, int, int], Sink]] = {".mp4": H264, ".webm": Vp9, ".gif": Gif}
    if suffix not in sinks:
        raise VideoError("encoder", path, f"cannot be written as {suffix}; known are {FORMS}")
    return sinks[suffix]


class RawPipe:
    """RGB24 to standard output, for a player or an encoder at the other end of a pipe."""

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int) -> None:
        if sys.stdout.isatty():
            raise VideoError("encoder", path, "raw frames would fill the terminal; send them to a file or a program")
        self._out: BinaryIO = sys.stdout.buffer

    def put(self, picture: NDArray[np.uint8]) -> None:
        self._out.write(np.ascontiguousarray(picture).data)
        self._out.flush()

    def close(self) -> None:
        self._out.flush()


class PngFolder:
    """frame_000000.png, frame_000001.png and so on."""

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int) -> None:
        self._folder, self._count = Path(path), 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VideoError("encoder", path, f"the folder cannot be made ({error.strerror})") from None

    def put(self, picture: NDArray[np.uint8]) -> None:
        from PIL import Image

        Image.fromarray(picture).save(self._folder / f"frame_{self._count:06}.png")
        self._count += 1

    def close(self) -> None:
        pass


class Encoded:
    """Pictures through one of FFmpeg's encoders into one of its containers."""

    container, codec, pixel_format = "", "", ""
    muxer: dict[str, str] = {}  # noqa: RUF012 - each form replaces it whole

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int) -> None:
        import av

        av.logging.set_level(None)
        self._count = 0
        size = self.coded_size(height, width)
        rate = max(Fraction(fps).limit_denominator(1001), SLOWEST)
        options = {"fflags": "+bitexact", "flush_packets": "1", **self.muxer}
        try:
            self._check_encoder(rate, size, quality)
            self._file = av.open(path, "w", format=self.container, options=options)
            stream = self._file.add_stream(self.codec, rate=rate, options=self.settings(quality))
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = size
            stream.pix_fmt = self.pixel_format
            stream.codec_context.time_base = 1 / rate
            stream.codec_context.thread_count = 1
            stream.codec_context.flags |= int(av.codec.context.Flags.bitexact)
            self._stream = stream
            self._file.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError("encoder", path, f"cannot be written ({error})") from None

    def _check_encoder(self, rate: Fraction, size: tuple[int, int], quality: int) -> None:
        """Open the encoder once on the side: nothing is written yet when it turns out to be missing."""
        from av import VideoCodecContext

        trial = VideoCodecContext.create(self.codec, "w")
        assert isinstance(trial, VideoCodecContext)
        trial.height, trial.width = size
        trial.pix_fmt, trial.time_base, trial.options = self.pixel_format, 1 / rate, self.settings(quality)
        trial.open()

    def coded_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def settings(self, quality: int) -> dict[str, str]:
        return {}

    def coded(self, picture: NDArray[np.uint8]) -> "VideoFrame":
        from av import VideoFrame

        return VideoFrame.from_ndarray(picture, format="rgb24")

    def put(self, picture: NDArray[np.uint8]) -> None:
        frame = self.coded(np.ascontiguousarray(picture))
        frame.pts, frame.time_base = self._count, self._stream.codec_context.time_base
        self._count += 1
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._file.mux(self._stream.encode(None))
        finally:
            self._file.close()


class H264(Encoded):
    container, codec, pixel_format = "mp4", "libx264", "yuv420p"
    muxer = {"movflags": FRAGMENTS}  # noqa: RUF012

    def coded_size(self, height: int, width: int) -> tuple[int, int]:
        return height + height % 2, width + width % 2

    def settings(self, quality: int) -> dict[str, str]:
        # No B-frames and no look-ahead: a frame is in the file as soon as it is written.
        return {"crf": str(quality), "preset": "veryfast", "tune": "zerolatency", "g": "48", "bf": "0"}

    def coded(self, picture: NDArray[np.uint8]) -> "VideoFrame":
        height, width, _ = picture.shape
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return super().coded(even)


class Vp9(Encoded):
    container, codec, pixel_format = "webm", "libvpx-vp9", "yuv420p"
    muxer = {"cluster_time_limit": "1000"}  # noqa: RUF012

    def settings(self, quality: int) -> dict[str, str]:
        return {"crf": str(quality + 8), "b": "0", "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0"}


class Gif(Encoded):
    """Every frame is opaque and complete: no reader, whatever it makes of transparency, sees through to another one.

    FFmpeg's encoder marks unchanged pixels with a transparent index by default. It takes one that the frame uses when
    colours of the palette repeat, so that option is off, and no color stands in a palette twice.
    """

    container, codec, pixel_format = "gif", "gif", "pal8"

    def settings(self, quality: int) -> dict[str, str]:
        return {"gifflags": "-transdiff"}

    def coded(self, picture: NDArray[np.uint8]) -> "VideoFrame":
        from av import VideoFrame
        from PIL import Image

        few = Image.fromarray(picture).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        listed = np.array(few.getpalette("RGB"), np.uint8).reshape(-1, 3)
        colors, place = np.unique(listed, axis=0, return_inverse=True)
        palette = np.full((256, 4), 255, np.uint8)  # alpha first
        palette[:, 1:] = colors[0]  # what is left over repeats a color: the encoder leaves it out
        palette[: len(colors), 1:] = colors
        indexed = (place.reshape(-1).astype(np.uint8)[np.asarray(few)], palette)
        return VideoFrame.from_ndarray(indexed, format="pal8")  # type: ignore[arg-type]  # PyAV's stub lacks this pair
