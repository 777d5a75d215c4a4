"""One strict pass over a video: every frame in order, or the reason why the file is not to be trusted.

Decoders conceal damage. Here the container and the decoder are told to report it, every packet must become a frame,
times must increase, and what came out must be as many frames and seconds as the header promised. One exception: an AVI
may hold one frame fewer, if its index lists just those that are there.

How pictures become RGB: rotation of the display matrix is applied (quarter turns; mirrored ones are refused by nobody
and not mirrored); odd sizes stay odd; alpha is composed onto black; deeper pictures are rounded to 8 bits; the colour
matrix is the one that the file names; the shape of the pixels (sample aspect ratio) is not applied.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.reader.avi_index import listed_frames
from videogen.io.reader.container_checks import check_bookkeeping, gif_images
from videogen.io.reader.tally import Tally
from videogen.io.resample import over_black
from videogen.io.source import Limits, Source, open_bytes

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame, VideoStream
    from av.container import InputContainer

# Demuxers by FFmpeg's names: files that hold their own pictures. No playlists, no descriptions of other files.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,apng,flv,asf,ogg,yuv4mpegpipe,nut"
DETECT = "crccheck+bitstream+buffer+explode"


@dataclass
class Opened:
    """A container, its picture track, and what their headers promise."""

    container: "InputContainer"
    stream: "VideoStream"
    decoder: "VideoCodecContext"
    time_base: Fraction
    name: str
    promised_frames: int
    promised_seconds: float | None
    listed_frames: int | None = None  # in the index of an AVI, in the blocks of a GIF
    missing_frames: int = 0  # known at the end: how many fewer there were than promised, though nothing is damaged


@contextmanager
def opened(source: Source, limits: Limits) -> Iterator[Opened]:
    """The video behind strict options, its header checked; all of PyAV's errors become VideoError."""
    import av

    av.logging.set_level(None)
    name = str(source)
    with open_bytes(source, limits) as file, translated(name):
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
            stream = _picture_track(container, name)
            promise = _promises(container, stream)
            _check_header(stream, promise, limits, name)
            stream.codec_context.thread_count = 1  # the number of threads changes the pixels of a damaged file
            stream.codec_context.options = {"err_detect": DETECT}
            if stream.time_base is None:
                raise VideoError("timestamps", name, "its picture track has no clock")
            yield Opened(container, stream, stream.codec_context, stream.time_base, name, *promise)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Whatever PyAV raises for a damaged file leaves as a VideoError."""
    import av

    try:
        yield
    except VideoError:
        raise
    except (av.error.FFmpegError, ValueError, IndexError, OSError, RuntimeError, OverflowError) as error:
        raise VideoError("corrupt", name, f"damaged ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _picture_track(container: "InputContainer", name: str) -> "VideoStream":
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of an audio file is no video
            if stream.codec_context is None:
                raise VideoError("codec", name, "no decoder for its picture track")
            return stream
    raise VideoError("no-video", name, "has no picture track")


def _promises(container: "InputContainer", stream: "VideoStream") -> tuple[int, float | None]:
    """Frames and seconds that the header tells, 0 and None where it does not (or where FFmpeg only estimates)."""
    estimated = container.format.name in ("mpegts", "mpeg", "gif", "apng", "ogg", "yuv4mpegpipe")
    seconds = None if estimated or not container.duration else container.duration / 1e6
    return (0 if container.format.name in ("gif", "apng") else stream.frames), seconds


def _check_header(stream: "VideoStream", promise: tuple[int, float | None], limits: Limits, name: str) -> None:
    frames, seconds = promise
    width, height = stream.codec_context.width, stream.codec_context.height
    if width < 1 or height < 1:
        raise VideoError("corrupt", name, "the header gives no picture size")
    if width * height > limits.max_pixels:
        raise VideoError("too-large", name, f"{width} x {height} pixels; the limit is {limits.max_pixels} in all")
    if frames > limits.max_frames:
        raise VideoError("too-long", name, f"{frames} frames; the limit is {limits.max_frames}")
    if seconds is not None and seconds > limits.max_seconds:
        raise VideoError("too-long", name, f"{seconds:.0f} seconds; the limit is {limits.max_seconds:.0f}")


@contextmanager
def opened_whole(source: Source, limits: Limits) -> Iterator[Opened]:
    """The same for a file that will be read to its end: the bookkeeping of its container is checked first.

    What was cut off cannot be opened, or seems to hold no pictures, and would be taken for another kind of file.
    """
    name = str(source)
    with open_bytes(source, limits) as file, translated(name):
        check_bookkeeping(file, name)
        images = gif_images(file)
        listed = listed_frames(file) if images is None else images
    with opened(source, limits) as video:
        video.listed_frames = listed
        yield video


def frames(video: Opened, limits: Limits) -> Iterator["VideoFrame"]:
    """Every picture in order of its time; VideoError at the first sign of damage, or at the end if some are missing."""
    shown = 0
    before: VideoFrame | None = None
    tally = Tally()
    for packet in tally.packets(video):
        for frame in video.decoder.decode(packet):
            _check_frame(frame, before, shown, video.name)
            before, shown = frame, shown + 1
            check_length(shown, limits, video.name)
            yield frame
    tally.check_ends(video, shown)


def check_length(frames: int, limits: Limits, name: str) -> None:
    if frames > limits.max_frames:
        raise VideoError("too-long", name, f"more than {limits.max_frames} frames, the limit")


def _check_frame(frame: "VideoFrame", before: "VideoFrame | None", number: int, name: str) -> None:
    if frame.is_corrupt:
        raise VideoError("corrupt", name, f"the decoder marks frame {number} as damaged")
    if frame.pts is None and frame.dts is None:
        raise VideoError("timestamps", name, f"frame {number} has no time")
    if before is None:
        return
    if time_of(frame) <= time_of(before):
        raise VideoError("timestamps", name, f"the time of frame {number} does not come after the one before")
    if (frame.width, frame.height) != (before.width, before.height):
        raise VideoError("corrupt", name, f"the picture size changes at frame {number}")


def time_of(frame: "VideoFrame") -> int:
    """When the frame is shown, in units of its track; AVI and raw streams number their frames instead."""
    ticks = frame.pts if frame.pts is not None else frame.dts
    assert ticks is not None, "strict reading lets no frame without a time pass"
    return ticks


def to_rgb(frame: "VideoFrame") -> NDArray[np.uint8]:
    """The picture as displayed, uint8 [H, W, 3], by the rules at the top of this file."""
    return displayed(frame)[0]


def displayed(frame: "VideoFrame") -> tuple[NDArray[np.uint8], bool]:
    """The same, and whether a part of it was transparent and is black now."""
    transparent = False
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba").astype(np.uint8, copy=False)
        transparent = bool(rgba[..., 3].min() < 255)
        picture = over_black(rgba) if transparent else np.ascontiguousarray(rgba[..., :3])
    else:
        picture = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turns = quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture, transparent


def quarter_turns(frame: "VideoFrame") -> int:
    """Counter-clockwise quarter turns from the stored to the displayed picture."""
    return round(frame.rotation / 90) % 4
