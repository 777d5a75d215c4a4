"""Opening a video behind strict options: its container, its video track, and what their headers promise."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from videogen.io.errors import VideoError
from videogen.io.reader.avi_index import listed_frames
from videogen.io.reader.container_checks import check_container, gif_images
from videogen.io.source import ReadLimits, Source, open_bytes

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoStream
    from av.container import InputContainer

# FFmpeg's names of demuxers for files that hold their own frames: no playlists, no lists of other files.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,apng,flv,asf,ogg,yuv4mpegpipe,nut"
DETECT = "crccheck+bitstream+buffer+explode"


@dataclass
class OpenVideo:
    """A container, its video track, and what their headers promise."""

    container: "InputContainer"
    stream: "VideoStream"
    decoder: "VideoCodecContext"
    time_base: Fraction
    name: str
    promised_frames: int
    promised_seconds: float | None
    listed_frames: int | None = None  # by the index of an AVI, or the blocks of a GIF
    missing_frames: int = 0  # fewer than promised in a file that is whole; known at the end


@contextmanager
def open_video(source: Source, limits: ReadLimits) -> Iterator[OpenVideo]:
    """Open a video with strict options and check its header; errors of PyAV become VideoError."""
    import av

    av.logging.set_level(None)
    name = str(source)
    with open_bytes(source, limits) as file, translate_errors(name):
        try:
            container = av.open(
                file,
                "r",
                options={"err_detect": DETECT, "format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
                metadata_errors="ignore",
            )
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError) as error:
            raise VideoError("format", name, f"not a video container that can be read ({_reason(error)})") from None
        with closing(container):
            stream = _video_track(container, name)
            promise = _promises(container, stream)
            _check_header(stream, promise, limits, name)
            stream.codec_context.thread_count = 1  # the number of threads changes the pixels of a damaged file
            stream.codec_context.options = {"err_detect": DETECT}
            if stream.time_base is None:
                raise VideoError("timestamps", name, "its video track has no clock")
            yield OpenVideo(container, stream, stream.codec_context, stream.time_base, name, *promise)


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Errors that PyAV raises for a damaged file become VideoError."""
    import av

    try:
        yield
    except VideoError:
        raise
    except (av.error.FFmpegError, ValueError, IndexError, OSError, RuntimeError, OverflowError) as error:
        raise VideoError("corrupt", name, f"damaged ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _video_track(container: "InputContainer", name: str) -> "VideoStream":
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of an audio file
            if stream.codec_context is None:
                raise VideoError("codec", name, "no decoder for its video track")
            return stream
    raise VideoError("no-video", name, "has no video track")


def _promises(container: "InputContainer", stream: "VideoStream") -> tuple[int, float | None]:
    """Frames and seconds by the header; 0 and None if it does not say, or if FFmpeg only estimates."""
    estimated = container.format.name in ("mpegts", "mpeg", "gif", "apng", "ogg", "yuv4mpegpipe")
    seconds = None if estimated or not container.duration else container.duration / 1e6
    return (0 if container.format.name in ("gif", "apng") else stream.frames), seconds


def _check_header(stream: "VideoStream", promise: tuple[int, float | None], limits: ReadLimits, name: str) -> None:
    frames, seconds = promise
    width, height = stream.codec_context.width, stream.codec_context.height
    if width < 1 or height < 1:
        raise VideoError("corrupt", name, "the header gives no frame size")
    if width * height > limits.max_pixels:
        raise VideoError("too-large", name, f"{width} x {height} pixels; the limit is {limits.max_pixels} in all")
    if frames > limits.max_frames:
        raise VideoError("too-long", name, f"{frames} frames; the limit is {limits.max_frames}")
    if seconds is not None and seconds > limits.max_seconds:
        raise VideoError("too-long", name, f"{seconds:.0f} seconds; the limit is {limits.max_seconds:.0f}")


@contextmanager
def open_checked(source: Source, limits: ReadLimits) -> Iterator[OpenVideo]:
    """As `open_video`, for a file that is read to its end: the structure of its container is checked first.

    A file that was cut off cannot be opened, or seems to hold no frames, and would look like another kind of file.
    """
    name = str(source)
    with open_bytes(source, limits) as file, translate_errors(name):
        check_container(file, name)
        images = gif_images(file)
        listed = listed_frames(file) if images is None else images
    with open_video(source, limits) as video:
        video.listed_frames = listed
        yield video
