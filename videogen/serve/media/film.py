"""A stream's pictures as one film: encoded once for all viewers, kept for late ones and for downloads."""

import io
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videogen.io.metadata import as_tags
from videogen.serve.media.fragments import Fragment, codec_of, contents_first, earlier, fragment, with_lengths

QUALITY = 20  # x264's scale
KEY_SECONDS = 1.0  # between places where a viewer can begin
NEVER = "100000"  # pictures between key pictures that x264 would set by itself


class Mp4Format(NamedTuple):
    """What all films of pictures of one size and rate have in common."""

    header: bytes  # what comes before the first piece
    ticks: int  # of the track's clock, for each picture
    mime: str  # as browsers ask for it


class Mp4Encoder:
    """Pictures uint8 [H, W, 3] to pieces; no picture waits for a later one. For one thread at a time."""

    def __init__(self, fps: float, height: int, width: int):
        import av

        av.logging.set_level(None)
        rate = Fraction(fps).limit_denominator(1001)
        self._out = io.BytesIO()
        self._file = av.open(self._out, "w", format="mp4", options={"movflags": "empty_moov+default_base_moof"})
        stream = self._file.add_stream("libx264", rate=rate, options=settings())
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        stream.codec_context.thread_count = 1
        self._file.start_encoding()
        assert stream.time_base is not None
        header, ticks = self._out.getvalue(), int(1 / rate / stream.time_base)
        self.form = Mp4Format(header, ticks, f'video/mp4; codecs="{codec_of(header)}"')
        self._stream, self._between = stream, max(1, round(KEY_SECONDS * rate))
        self._count, self._last_key = 0, -1

    def encode(self, pictures: NDArray[np.uint8]) -> Fragment:
        """uint8 [T, H, W, 3], T at least 1; key pictures stand at the beginning of pieces alone."""
        first, key = self._count, self._last_key < 0 or self._count - self._last_key >= self._between
        coded = [self._coded(picture, key and number == 0) for number, picture in enumerate(pictures)]
        self._last_key = first if key else self._last_key
        return Fragment(first, len(coded), key, fragment(first, key, coded, self.form.ticks))

    def _coded(self, picture: NDArray[np.uint8], key: bool) -> bytes:
        from av import VideoFrame
        from av.video.frame import PictureType

        height, width, _ = picture.shape
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts, frame.time_base = self._count, self._stream.codec_context.time_base
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._count += 1
        return b"".join(with_lengths(bytes(packet)) for packet in self._stream.encode(frame))

    def close(self) -> None:
        """Closing twice is closing once."""
        self._file.close()


def settings() -> dict[str, str]:
    """Baseline, no picture looks ahead; key pictures only where they are asked for, and nothing reaches over them."""
    exact = {"g": NEVER, "keyint_min": "1", "sc_threshold": "0", "bf": "0", "forced-idr": "1"}
    return {"crf": str(QUALITY), "preset": "veryfast", "tune": "zerolatency", "profile": "baseline", **exact}


@dataclass(eq=False)
class ClipBuffer:
    """The last pieces of a film, from a key picture on: as many as there is room for."""

    pictures: int  # to keep at most, and at least until there is a later key picture
    bytes: int
    pieces: deque[Fragment] = field(default_factory=deque)
    size: int = 0

    def add(self, piece: Fragment) -> None:
        self.pieces.append(piece)
        self.size += len(piece.data)
        while (self.size > self.bytes or self.count > self.pictures) and self._next_key():
            self._drop_to(self._next_key())

    @property
    def count(self) -> int:
        return sum(piece.count for piece in self.pieces)

    def from_key(self, pictures: int | None = None) -> list[Fragment]:
        """From the last key picture that so many are behind, or the first that there is; None: all that there are."""
        if pictures is None or not self.pieces:
            return list(self.pieces)
        wanted = self.pieces[-1].first + self.pieces[-1].count - pictures
        begin = max((n for n, piece in enumerate(self.pieces) if piece.key and piece.first <= wanted), default=0)
        return list(self.pieces)[begin:]

    def clear(self) -> None:
        self.pieces.clear()
        self.size = 0

    def _next_key(self) -> int:
        return next((number for number, piece in enumerate(self.pieces) if number and piece.key), 0)

    def _drop_to(self, number: int) -> None:
        for _ in range(number):
            self.size -= len(self.pieces.popleft().data)


def form_of(fps: float, height: int, width: int) -> Mp4Format:
    """Found out by beginning a film that is never made."""
    encoder = Mp4Encoder(fps, height, width)
    encoder.close()
    return encoder.form


def film_of(form: Mp4Format, pieces: Sequence[Fragment], metadata: Mapping[str, Any]) -> bytes:
    """A whole mp4 that begins at 0 and that every player can seek in; the pictures are not encoded again.

    Its table of contents comes first, it says what it was made with (see `read_metadata`), and there is no date in it:
    the same film is the same bytes. No file is needed: what was made can be had even where the disk is full.
    """
    import av

    begin = pieces[0].first * form.ticks
    fragments = io.BytesIO(b"".join([form.header, *(earlier(piece.data, begin) for piece in pieces)]))
    made = io.BytesIO()
    with av.open(fragments, "r") as source, av.open(made, "w", "mp4", options={"fflags": "+bitexact"}) as target:
        target.metadata.update(as_tags(metadata))
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    return contents_first(made.getvalue())
