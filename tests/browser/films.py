"""What the stand-in for the server sends: pictures of a disc that drifts, as JPEG and as a fragmented mp4."""

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
COLOURS = {
    "red": "#d8392f",
    "blue": "#3d6bff",
    "green": "#2fa84f",
    "yellow": "#f2c52e",
    "pink": "#f77fc4",
    "white": "#f2f2ef",
}
GROUNDS = {"dark blue": "#141c5c", "maroon": "#5a1620", "black": "#0b0b0d", "grey": "#57575c"}


def picture(number: int, prompt: str) -> Image.Image:
    """The scene of a prompt at a time; the colours of the disc and of the background are read from the words."""
    # A background is looked for first, so that the blue of a dark blue one does not colour the disc.
    ground = next((name for name in GROUNDS if name in prompt), "dark blue")
    words = prompt.replace(ground, "")
    colour = next((COLOURS[name] for name in COLOURS if name in words), COLOURS["white"])
    image = Image.new("RGB", (SIZE * 2, SIZE * 2), GROUNDS[ground])
    x, y = 64 + 36 * math.cos(number / 9), 64 + 24 * math.sin(number / 6)
    brush = ImageDraw.Draw(image)
    if "ring" in prompt:
        brush.ellipse((x - 26, y - 26, x + 26, y + 26), outline=colour, width=13)
    else:
        brush.ellipse((x - 22, y - 22, x + 22, y + 22), fill=colour)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


class Film:
    """A fragmented mp4, piece by piece: closed groups of pictures, no B-frames, baseline."""

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
        """One picture more; returns the bytes that it adds."""
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


CODEC = threading.Lock()  # an encoder at a time: the tests have few cores


def whole_film(images: Iterable[Image.Image]) -> bytes:
    with CODEC:
        film = Film()
        return b"".join([*(film.add(image) for image in images), film.close()])


def filling(tokens: int, steps: int) -> Iterator[bytes]:
    """Which of the tokens are decided, before each proposal: spread over the grid, more and more of them."""
    for step in range(steps):
        known = round(tokens * (1 - math.cos(math.pi / 2 * step / steps)))
        decided = {(37 * place) % tokens for place in range(known)}
        yield bytes(place in decided for place in range(tokens))
