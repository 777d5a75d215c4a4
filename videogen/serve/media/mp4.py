"""Frames to H.264 in mp4: fragments while a stream runs, and whole files of the fragments that were kept."""

import io
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videogen.io.metadata import as_tags
from videogen.serve.media.fragments import (
    Fragment,
    codec_string,
    faststart,
    length_prefixed,
    make_fragment,
    shift_earlier,
)

CRF = 20  # x264's quality scale
KEY_FRAME_SECONDS = 1.0  # between frames at which a viewer can start
NEVER = "100000"  # frames between key frames that x264 sets by itself


class Mp4Format(NamedTuple):
    """What all streams of one frame size and rate have in common."""

    header: bytes  # precedes the first fragment
    ticks: int  # duration of a frame, in units of the track's clock
    mime: str  # media type with the codec


class FragmentEncoder:
    """Frames uint8 [H, W, 3] to fragments, without delay: no frame waits for a later one. Not thread-safe."""

    def __init__(self, fps: float, height: int, width: int):
        import av

        av.logging.set_level(None)
        rate = Fraction(fps).limit_denominator(1001)
        self._out = io.BytesIO()
        self._file = av.open(self._out, "w", format="mp4", options={"movflags": "empty_moov+default_base_moof"})
        stream = self._file.add_stream("libx264", rate=rate, options=x264_options())
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        stream.codec_context.thread_count = 1
        self._file.start_encoding()
        assert stream.time_base is not None
        header, ticks = self._out.getvalue(), int(1 / rate / stream.time_base)
        self.format = Mp4Format(header, ticks, f'video/mp4; codecs="{codec_string(header)}"')
        self._stream, self._key_interval = stream, max(1, round(KEY_FRAME_SECONDS * rate))
        self._count, self._last_key = 0, -1

    def encode(self, frames: NDArray[np.uint8]) -> Fragment:
        """uint8 [T, H, W, 3], T at least 1, to one fragment. Only the first frame of a fragment can be a key frame."""
        first, key = self._count, self._last_key < 0 or self._count - self._last_key >= self._key_interval
        samples = [self._encode_frame(frame, key and number == 0) for number, frame in enumerate(frames)]
        self._last_key = first if key else self._last_key
        return Fragment(first, len(samples), key, make_fragment(first, key, samples, self.format.ticks))

    def _encode_frame(self, pixels: NDArray[np.uint8], key: bool) -> bytes:
        from av import VideoFrame
        from av.video.frame import PictureType

        height, width, _ = pixels.shape
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts, frame.time_base = self._count, self._stream.codec_context.time_base
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._count += 1
        return b"".join(length_prefixed(bytes(packet)) for packet in self._stream.encode(frame))

    def close(self) -> None:
        """Can be called more than once."""
        self._file.close()


def x264_options() -> dict[str, str]:
    """Baseline profile, no lookahead, key frames only on request, and no reference across a key frame."""
    exact = {"g": NEVER, "keyint_min": "1", "sc_threshold": "0", "bf": "0", "forced-idr": "1"}
    return {"crf": str(CRF), "preset": "veryfast", "tune": "zerolatency", "profile": "baseline", **exact}


@dataclass(eq=False)
class ClipBuffer:
    """The latest fragments of a stream; the oldest one starts with a key frame."""

    max_frames: int  # exceeded until a later key frame exists
    max_bytes: int
    fragments: deque[Fragment] = field(default_factory=deque)
    size: int = 0

    def add(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)
        self.size += len(fragment.data)
        while (self.size > self.max_bytes or self.count > self.max_frames) and self._next_key():
            self._drop(self._next_key())

    @property
    def count(self) -> int:
        return sum(fragment.count for fragment in self.fragments)

    def from_key_frame(self, frames: int | None = None) -> list[Fragment]:
        """From the latest key frame with this many frames after it, or from the oldest one; None: all fragments."""
        if frames is None or not self.fragments:
            return list(self.fragments)
        wanted = self.fragments[-1].first + self.fragments[-1].count - frames
        begin = max((n for n, part in enumerate(self.fragments) if part.key and part.first <= wanted), default=0)
        return list(self.fragments)[begin:]

    def clear(self) -> None:
        self.fragments.clear()
        self.size = 0

    def _next_key(self) -> int:
        return next((number for number, fragment in enumerate(self.fragments) if number and fragment.key), 0)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self.size -= len(self.fragments.popleft().data)


def probe_format(fps: float, height: int, width: int) -> Mp4Format:
    """Found by opening an encoder that encodes nothing."""
    encoder = FragmentEncoder(fps, height, width)
    encoder.close()
    return encoder.format


def mux_mp4(stream_format: Mp4Format, fragments: Sequence[Fragment], metadata: Mapping[str, Any]) -> bytes:
    """A whole, seekable mp4 that starts at time 0; the frames are not encoded again.

    Its table of contents comes first, and its tags hold the metadata (see `read_metadata`). It holds no date: the same
    video is the same bytes. It is made in memory, so that it can be downloaded even when the disk is full.
    """
    import av

    begin = fragments[0].first * stream_format.ticks
    shifted = (shift_earlier(fragment.data, begin) for fragment in fragments)
    fragmented, whole = io.BytesIO(b"".join([stream_format.header, *shifted])), io.BytesIO()
    with av.open(fragmented, "r") as source, av.open(whole, "w", "mp4", options={"fflags": "+bitexact"}) as target:
        target.metadata.update(as_tags(metadata))
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    return faststart(whole.getvalue())
