"""What the fake server sends: frames of a drifting disc, as JPEG and as fragmented mp4."""

import io
import math
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from PIL import Image, ImageDraw

SIZE, FPS = 64, 8
MIME = 'video/mp4; codecs="avc1.42C00A"'
COLORS = {
    "red": "#d8392f",
    "blue": "#3d6bff",
    "green": "#2fa84f",
    "yellow": "#f2c52e",
    "pink": "#f77fc4",
    "white": "#f2f2ef",
}
BACKGROUNDS = {"dark blue": "#141c5c", "maroon": "#5a1620", "black": "#0b0b0d", "grey": "#57575c"}


def render(number: int, prompt: str) -> Image.Image:
    """A frame of the scene of a prompt; the colors of the disc and of the background are read from its words."""
    # The background first, so that the blue of "dark blue" does not color the disc.
    background = next((name for name in BACKGROUNDS if name in prompt), "dark blue")
    words = prompt.replace(background, "")
    color = next((COLORS[name] for name in COLORS if name in words), COLORS["white"])
    image = Image.new("RGB", (SIZE * 2, SIZE * 2), BACKGROUNDS[background])
    x, y = 64 + 36 * math.cos(number / 9), 64 + 24 * math.sin(number / 6)
    brush = ImageDraw.Draw(image)
    if "ring" in prompt:
        brush.ellipse((x - 26, y - 26, x + 26, y + 26), outline=color, width=13)
    else:
        brush.ellipse((x - 22, y - 22, x + 22, y + 22), fill=color)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


class FakeEncoder:
    """Encodes a fragmented mp4 incrementally: closed GOPs, no B-frames, baseline profile."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        movement = "frag_keyframe+frag_every_frame+empty_moov+default_base_moof"
        self._file = av.open(self._out, "w", format="mp4", options={"movflags": movement, "flush_packets": "1"})
        settings = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "g": "8",
            "bf": "0",
            "crf": "20",
        }
        stream = self._file.add_stream("libx264", rate=FPS, options=settings)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        stream.codec_context.thread_count = 1
        self._stream, self._count, self._sent = stream, 0, 0

    def add(self, image: Image.Image) -> bytes:
        """Encodes a frame; returns the bytes that it adds."""
        frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        frame.pts, frame.time_base = self._count, Fraction(1, FPS)
        self._count += 1
        self._file.mux(self._stream.encode(frame))
        return self._new()

    def close(self) -> bytes:
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._new()

    def _new(self) -> bytes:
        piece = self._out.getvalue()[self._sent :]
        self._sent += len(piece)
        return piece


CODEC = threading.Lock()  # one encoder at a time: test machines have few cores


def whole_mp4(images: Iterable[Image.Image]) -> bytes:
    with CODEC:
        encoder = FakeEncoder()
        return b"".join([*(encoder.add(image) for image in images), encoder.close()])


def mask_sequence(tokens: int, steps: int) -> Iterator[bytes]:
    """The mask before each step: more and more tokens are decided, spread over the grid."""
    for step in range(steps):
        known = round(tokens * (1 - math.cos(math.pi / 2 * step / steps)))
        decided = {(37 * place) % tokens for place in range(known)}
        yield bytes(place in decided for place in range(tokens))
