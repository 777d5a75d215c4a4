"""Where a `VideoWriter` puts its frames: FFmpeg's encoders and containers, PNG files, a pipe."""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.metadata import Tags
from videogen.io.writer.gif_comment import add_comment
from videogen.io.writer.output_format import exact_rate

if TYPE_CHECKING:
    from av import VideoFrame

FRAGMENTS = "frag_keyframe+frag_every_frame+empty_moov+default_base_moof"


class Sink(Protocol):
    """Takes frames one at a time, all of one size."""

    def put(self, frame: NDArray[np.uint8]) -> None: ...
    def close(self) -> None: ...


SinkType: TypeAlias = Callable[[str, float, int, int, int, Tags], Sink]


class RawPipe:
    """RGB24 to standard output, for a player or an encoder at the end of a pipe."""

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int, tags: Tags) -> None:
        if sys.stdout.isatty():
            raise VideoError("encoder", path, "raw frames would fill the terminal; send them to a file or a program")
        self._out: BinaryIO = sys.stdout.buffer

    def put(self, frame: NDArray[np.uint8]) -> None:
        self._out.write(np.ascontiguousarray(frame).data)
        self._out.flush()

    def close(self) -> None:
        self._out.flush()


class PngFolder:
    """frame_000000.png, frame_000001.png and so on."""

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int, tags: Tags) -> None:
        self._folder, self._count, self._tags = Path(path), 0, tags
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VideoError("encoder", path, f"the folder cannot be made ({error.strerror})") from None

    def put(self, frame: NDArray[np.uint8]) -> None:
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        for name, value in self._tags.items():
            text.add_itxt(name.capitalize(), value)
        Image.fromarray(frame).save(self._folder / f"frame_{self._count:06}.png", pnginfo=text)
        self._count += 1

    def close(self) -> None:
        pass


class FFmpegSink:
    """Frames through one of FFmpeg's encoders into one of its containers."""

    container, codec, pixel_format = "", "", ""
    muxer: dict[str, str] = {}  # noqa: RUF012 - each subclass replaces it

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int, tags: Tags) -> None:
        import av

        av.logging.set_level(None)
        self._count = 0
        size = self.coded_size(height, width)
        rate = exact_rate(fps)
        options = {"fflags": "+bitexact", "flush_packets": "1", **self.muxer}
        try:
            self._check_encoder(rate, size, quality)
            self._file = av.open(path, "w", format=self.container, options=options)
            self._file.metadata.update(tags)
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
        """Open the encoder once, so that a missing one is found before anything is written."""
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

    def coded(self, rgb: NDArray[np.uint8]) -> "VideoFrame":
        from av import VideoFrame

        return VideoFrame.from_ndarray(rgb, format="rgb24")

    def put(self, frame: NDArray[np.uint8]) -> None:
        coded = self.coded(np.ascontiguousarray(frame))
        coded.pts, coded.time_base = self._count, self._stream.codec_context.time_base
        self._count += 1
        self._file.mux(self._stream.encode(coded))

    def close(self) -> None:
        try:
            self._file.mux(self._stream.encode(None))
        finally:
            self._file.close()


class H264(FFmpegSink):
    codec, pixel_format = "libx264", "yuv420p"

    def coded_size(self, height: int, width: int) -> tuple[int, int]:
        return height + height % 2, width + width % 2

    def settings(self, quality: int) -> dict[str, str]:
        # No B-frames and no look-ahead, so that a frame is in the file as soon as it is written.
        return {"crf": str(quality), "preset": "veryfast", "tune": "zerolatency", "g": "48", "bf": "0"}

    def coded(self, rgb: NDArray[np.uint8]) -> "VideoFrame":
        height, width, _ = rgb.shape
        even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return super().coded(even)


class Mp4(H264):
    container, muxer = "mp4", {"movflags": FRAGMENTS}


class QuickTime(H264):
    container, muxer = "mov", {"movflags": FRAGMENTS}


class Matroska(H264):
    container, muxer = "matroska", {"cluster_time_limit": "1000"}


class Avi(H264):
    container = "avi"


class WebM(FFmpegSink):
    container, codec, pixel_format = "webm", "libvpx-vp9", "yuv420p"
    muxer = {"cluster_time_limit": "1000"}  # noqa: RUF012

    def settings(self, quality: int) -> dict[str, str]:
        return {"crf": str(quality + 8), "b": "0", "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0"}


class Gif(FFmpegSink):
    """Every frame is opaque and complete, so that no reader shows parts of an earlier frame.

    By default FFmpeg's encoder marks unchanged pixels with a transparent index, which may be one that the frame uses
    when colors of the palette repeat. So that option is off, and no color is in a palette twice.
    """

    container, codec, pixel_format = "gif", "gif", "pal8"

    def __init__(self, path: str, fps: float, height: int, width: int, quality: int, tags: Tags) -> None:
        super().__init__(path, fps, height, width, quality, {})
        self._path, self._comment = path, tags.get("comment")

    def close(self) -> None:
        super().close()
        if self._comment is not None:
            add_comment(self._path, self._comment)

    def settings(self, quality: int) -> dict[str, str]:
        return {"gifflags": "-transdiff"}

    def coded(self, rgb: NDArray[np.uint8]) -> "VideoFrame":
        from av import VideoFrame
        from PIL import Image

        few = Image.fromarray(rgb).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        listed = np.array(few.getpalette("RGB"), np.uint8).reshape(-1, 3)
        colors, place = np.unique(listed, axis=0, return_inverse=True)
        palette = np.full((256, 4), 255, np.uint8)  # alpha first
        palette[:, 1:] = colors[0]  # unused entries repeat a color, which the encoder leaves out
        palette[: len(colors), 1:] = colors
        indexed = (place.reshape(-1).astype(np.uint8)[np.asarray(few)], palette)
        return VideoFrame.from_ndarray(indexed, format="pal8")  # type: ignore[arg-type]  # PyAV's stub lacks this pair
