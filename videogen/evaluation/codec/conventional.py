"""The codecs of FFmpeg that a model is compared with, at their usual settings, in memory, with one thread.

Bytes are counted twice: of the file, and of the packets alone, which are coded frames without the container around
them. Of x264's packets the note about its version and settings is left out, which is longer than a short clip.
"""

import io
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from videogen.io.writer.output_format import exact_rate

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frames = NDArray[np.uint8]  # [T, H, W, 3]
WITHOUT_NOTES = "filter_units=remove_types=6"


@dataclass(frozen=True)
class ConventionalCodec:
    name: str
    encoder: str
    container: str
    ladder: tuple[int, ...]  # of crf
    options: Mapping[str, str]
    packet_filter: str | None = None

    @property
    def settings(self) -> str:
        """For people."""
        return ", ".join([self.encoder, *(f"{name} {value}" for name, value in self.options.items()), "yuv420p"])


@dataclass(frozen=True, eq=False)
class EncodedClip:
    file: bytes
    packets: int  # bytes of coded frames alone
    seconds: float  # of CPU time


CODECS = (
    ConventionalCodec("H.264", "libx264", "mp4", (18, 23, 28, 33, 38, 43, 47, 51), {"preset": "medium"}, WITHOUT_NOTES),
    ConventionalCodec(
        "HEVC",
        "libx265",
        "mp4",
        (18, 23, 28, 33, 38, 43, 47, 51),
        {"preset": "medium", "x265-params": "log-level=none:info=0:pools=none:frame-threads=1"},
    ),
    ConventionalCodec(
        "VP9",
        "libvpx-vp9",
        "webm",
        (20, 27, 34, 41, 48, 55, 63),
        {"b": "0", "deadline": "good", "cpu-used": "2"},
    ),
    ConventionalCodec(
        "AV1",
        "libsvtav1",
        "webm",
        (20, 27, 34, 41, 48, 55, 63),
        {"preset": "6", "svtav1-params": "lp=1"},
    ),
)


@dataclass(frozen=True)
class ColorConversion:
    """How RGB becomes 4:2:0 and again RGB: filters of libswscale, FFmpeg's scaler."""

    name: str
    down: int
    up: int

    def to_yuv(self, frame: NDArray[np.uint8]) -> "VideoFrame":
        from av import VideoFrame

        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        return self._reformatted(rgb, "yuv420p", self.down)

    def to_rgb(self, frames: "Iterable[VideoFrame]") -> Frames:
        return np.stack([self._reformatted(frame, "rgb24", self.up).to_ndarray() for frame in frames])

    def _reformatted(self, frame: "VideoFrame", pixels: str, filters: int) -> "VideoFrame":
        from av.video.reformatter import Interpolation

        return frame.reformat(format=pixels, interpolation=Interpolation(filters), threads=1)


def color_conversions() -> tuple[ColorConversion, ...]:
    """Means of four pixels, repeated four times: right for frames that were 4:2:0 before; and smooth both ways."""
    from av.video.reformatter import Interpolation as Filters

    exact = Filters.ACCURATE_RND | Filters.FULL_CHR_H_INP
    smooth = Filters.BICUBIC | Filters.FULL_CHR_H_INT
    return (
        ColorConversion("means of four pixels", int(Filters.AREA | exact), int(Filters.BILINEAR)),
        ColorConversion("bicubic", int(smooth | exact), int(smooth | exact)),
    )


def missing_encoders(codecs: Sequence[ConventionalCodec]) -> dict[str, str]:
    """Why each codec that this PyAV cannot write is left out."""
    import av

    return {
        codec.name: f"PyAV {av.__version__} is built without {codec.encoder}"
        for codec in codecs
        if codec.encoder not in av.codecs_available
    }


def encode(codec: ConventionalCodec, frames: Frames, fps: float, crf: int, colors: ColorConversion) -> EncodedClip:
    """FFmpegError if the encoder takes no such frames."""
    import av

    av.logging.set_level(None)
    os.environ.setdefault("SVT_LOG", "1")  # errors alone
    began, written, packets = time.process_time(), io.BytesIO(), 0
    with av.open(written, "w", format=codec.container, options={"fflags": "+bitexact"}) as file:
        rate, options = exact_rate(fps), {**codec.options, "crf": str(crf)}
        stream = cast("VideoStream", file.add_stream(codec.encoder, rate=rate, options=options))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        stream.codec_context.time_base = 1 / rate
        keep = PacketFilter(codec.packet_filter, stream)
        for number, frame in enumerate(frames):
            coded = colors.to_yuv(frame)
            coded.pts, coded.time_base = number, Fraction(1) / rate
            packets += mux(file, keep(stream.encode(coded)))
        packets += mux(file, keep(stream.encode(None)))
    return EncodedClip(written.getvalue(), packets, time.process_time() - began)


def still_bits(codec: ConventionalCodec, shape: tuple[int, ...], fps: float, colors: ColorConversion) -> float:
    """What frames cost by themselves: bits a pixel of a still gray clip's packets, at the lowest quality."""
    gray = np.full(shape, 128, np.uint8)
    return 8 * encode(codec, gray, fps, codec.ladder[-1], colors).packets / (gray.size // 3)


class PacketFilter:
    """Applies one of FFmpeg's bitstream filters, which can be made only once the encoder has begun."""

    def __init__(self, name: str | None, stream: "VideoStream"):
        self.name, self.stream = name, stream
        self.filter: Any = None

    def __call__(self, packets: "Sequence[Packet[Any]]") -> "list[Packet[Any]]":
        from av.bitstream import BitStreamFilterContext

        if self.name is None or not packets:
            return list(packets)
        self.filter = self.filter or BitStreamFilterContext(self.name, self.stream)
        return [kept for packet in packets for kept in self.filter.filter(packet)]


def mux(file: Any, packets: "Sequence[Packet[Any]]") -> int:
    """How many bytes they are; a packet is empty once it is in the file."""
    sizes = [packet.size for packet in packets]
    for packet in packets:
        file.mux(packet)
    return sum(sizes)


def decode(written: bytes, colors: ColorConversion) -> tuple[Frames, float]:
    """The frames, and seconds of CPU time."""
    import av

    began = time.process_time()
    with av.open(io.BytesIO(written)) as file:
        source = cast("InputContainer", file)
        stream = source.streams.video[0]
        stream.thread_count = 1
        frames = colors.to_rgb(source.decode(stream))
    return frames, time.process_time() - began
