"""One strict pass over a video: every frame in order, or the reason why the file is refused.

Decoders conceal damage. Here the container and the decoder are told to report it, every packet must become a frame,
times must increase, and there must be as many frames and seconds as the header promises. One exception: an AVI may hold
one frame fewer, if its index lists exactly those that are there.

How frames become RGB: quarter turns of the display matrix are applied, mirroring is not; odd sizes stay odd; alpha is
composed onto black; deeper frames are rounded to 8 bits; the color matrix is the one that the file names; the sample
aspect ratio is ignored.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.reader.container import OpenVideo
from videogen.io.reader.packets import PacketCounter
from videogen.io.resample import composite_on_black
from videogen.io.source import ReadLimits

if TYPE_CHECKING:
    from av import VideoFrame


def frames(video: OpenVideo, limits: ReadLimits) -> Iterator["VideoFrame"]:
    """Every frame in order of its time; VideoError at the first damage, or at the end if frames are missing."""
    shown = 0
    before: VideoFrame | None = None
    counter = PacketCounter()
    for packet in counter.packets(video):
        for frame in video.decoder.decode(packet):
            _check_frame(frame, before, shown, video.name)
            before, shown = frame, shown + 1
            check_length(shown, limits, video.name)
            yield frame
    counter.check_ends(video, shown)


def check_length(frames: int, limits: ReadLimits, name: str) -> None:
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
        raise VideoError("corrupt", name, f"the frame size changes at frame {number}")


def time_of(frame: "VideoFrame") -> int:
    """When the frame is shown, in units of its track; in AVI and raw streams, the number of the frame."""
    ticks = frame.pts if frame.pts is not None else frame.dts
    assert ticks is not None, "strict reading refuses frames without a time"
    return ticks


def to_rgb(frame: "VideoFrame") -> NDArray[np.uint8]:
    """The frame as displayed, uint8 [H, W, 3], by the rules at the top of this file."""
    return displayed(frame)[0]


def displayed(frame: "VideoFrame") -> tuple[NDArray[np.uint8], bool]:
    """The frame as displayed, and whether a part of it was transparent and is black now."""
    transparent = False
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba").astype(np.uint8, copy=False)
        transparent = bool(rgba[..., 3].min() < 255)
        rgb = composite_on_black(rgba) if transparent else np.ascontiguousarray(rgba[..., :3])
    else:
        rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turns = quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb, transparent


def quarter_turns(frame: "VideoFrame") -> int:
    """Counter-clockwise quarter turns from the stored to the displayed frame."""
    return round(frame.rotation / 90) % 4
