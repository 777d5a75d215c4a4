"""Clean clips of many kinds whose frames show their numbers, and ways to damage them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 10
BLOCK = 8  # pixels a side of one bit: large enough to survive any codec here


def numbered_frame(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """A frame with texture and motion that shows `number` as a row of black and white blocks on top."""
    rows, columns = np.mgrid[0:height, 0:width]
    texture = (np.sin(columns / 7 + number / 3) + np.cos(rows / 9 - number / 5)) * 40 + 128
    picture = np.stack([texture, np.roll(texture, number, 1), 255 - texture], axis=-1)
    for bit in range(BITS):
        left = 2 + bit * BLOCK
        picture[0:BLOCK, left : left + BLOCK] = 235 if number >> bit & 1 else 20
    return np.clip(picture, 0, 255).astype(np.uint8)


def number_in(picture: NDArray[np.uint8]) -> int:
    """The number that a frame shows."""
    middles = [picture[2:6, 2 + bit * BLOCK + 2 : 2 + bit * BLOCK + 6].mean() for bit in range(BITS)]
    return sum(int(middle > 128) << bit for bit, middle in enumerate(middles))


@dataclass(frozen=True)
class ClipKind:
    """A way to make a clip: container by suffix, codec, and what is special about it."""

    name: str
    suffix: str
    codec: str
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (48, 96)
    variable: bool = False
    rotated: bool = False
    sound: bool = False


KINDS = (
    ClipKind("h264", ".mp4", "libx264", options={"g": "12", "bf": "2"}),
    ClipKind("h264-faststart", ".mp4", "libx264", options={"g": "12"}, muxer={"movflags": "faststart"}),
    ClipKind("h264-fragments", ".mp4", "libx264", muxer={"movflags": "frag_keyframe+empty_moov"}, options={"g": "6"}),
    ClipKind("h264-mkv", ".mkv", "libx264", options={"g": "12", "bf": "3"}),
    ClipKind("h264-ts", ".ts", "libx264", options={"g": "12", "bf": "2"}),
    ClipKind("h264-odd", ".mkv", "libx264", "yuv444p", size=(49, 97)),
    ClipKind("h264-10bit", ".mp4", "libx264", "yuv420p10le", options={"g": "12"}),
    ClipKind("h264-variable", ".mp4", "libx264", options={"g": "12", "bf": "2"}, variable=True),
    ClipKind("h264-rotated", ".mov", "libx264", options={"g": "12"}, rotated=True),
    ClipKind("h264-sound", ".mp4", "libx264", options={"g": "12"}, sound=True),
    ClipKind("h264-lossless", ".mp4", "libx264rgb", "rgb24", options={"crf": "0"}),
    ClipKind(
        "hevc-open-gop", ".mp4", "libx265", options={"x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"}
    ),
    ClipKind("hevc-mkv", ".mkv", "libx265", options={"x265-params": "keyint=12:log-level=none"}),
    ClipKind("hevc-ts", ".ts", "libx265", options={"x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"}),
    ClipKind("vp8", ".webm", "libvpx", options={"g": "12", "b": "1M", "auto-alt-ref": "1", "lag-in-frames": "10"}),
    ClipKind("vp9", ".webm", "libvpx-vp9", options={"g": "12", "cpu-used": "8", "deadline": "realtime"}),
    ClipKind("vp9-odd", ".webm", "libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}, size=(51, 99)),
    ClipKind("vp9-altref", ".webm", "libvpx-vp9", options={"g": "12", "cpu-used": "8", "auto-alt-ref": "1"}),
    ClipKind("av1", ".mp4", "libsvtav1", options={"preset": "12", "g": "12", "svtav1-params": "lp=1"}),
    ClipKind("av1-mkv", ".mkv", "libsvtav1", options={"preset": "12", "g": "12"}, size=(64, 96)),
    ClipKind("mpeg2-ts", ".ts", "mpeg2video", options={"g": "12", "bf": "2", "b": "2M"}),
    ClipKind("mpeg4-avi", ".avi", "mpeg4", options={"g": "12", "q": "3"}),
    ClipKind("mjpeg-avi", ".avi", "mjpeg", "yuvj420p", options={"q": "3"}),
    ClipKind("ffv1", ".mkv", "ffv1", "bgr0"),
    ClipKind("gif", ".gif", "gif", "rgb8"),
    ClipKind("prores", ".mov", "prores_ks", "yuv422p10le"),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def make(kind: ClipKind, folder: Path, frames: int = 36) -> Path:
    """Write a clean clip of this kind; frame number n shows n."""
    path = folder / f"{kind.name}{kind.suffix}"
    with av.open(str(path), "w", options=kind.muxer) as container:
        stream = container.add_stream(kind.codec, rate=24, options=dict(kind.options))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = kind.size
        stream.pix_fmt = kind.pixel_format
        stream.codec_context.thread_count = 1
        if kind.variable:
            stream.codec_context.time_base = Fraction(1, 240)
        sound = container.add_stream("aac", rate=48000) if kind.sound else None
        for number, tick in zip(range(frames), ticks(kind.variable), strict=False):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, *kind.size), format="rgb24")
            if kind.variable:
                frame.pts, frame.time_base = tick, Fraction(1, 240)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            add_sound(container, sound, frames / 24)
    if kind.rotated:
        path.write_bytes(turned(path.read_bytes()))
    return path


def ticks(variable: bool) -> Iterator[int]:
    """Times in 240ths of a second: even, or with gaps of 1 to 40."""
    gaps = itertools.cycle((10, 5, 25, 10, 1, 40)) if variable else itertools.repeat(10)
    return itertools.accumulate(itertools.chain([0], gaps))


def add_sound(container: av.container.OutputContainer, stream: object, seconds: float) -> None:
    assert isinstance(stream, av.AudioStream)
    samples = np.zeros((1, 1024), np.float32)
    for count in range(int(seconds * 48000) // 1024):
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, count * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def sound_only(folder: Path) -> Path:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        add_sound(container, container.add_stream("aac", rate=48000, layout="mono"), 0.5)
    return path


def turned(movie: bytes) -> bytes:
    """The same movie with a display matrix that turns it by a quarter clockwise."""
    upright = b"".join(n.to_bytes(4, "big") for n in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    quarter = b"".join((n & 0xFFFFFFFF).to_bytes(4, "big") for n in (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000))
    header = movie.index(b"tkhd")
    place = movie.index(upright, header)
    return movie[:place] + quarter + movie[place + len(quarter) :]


def damaged(clean: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one kind of damage."""
    size = len(clean)
    accident = rng.integers(0, 6)
    start = int(rng.integers(0, size))
    stretch = int(rng.integers(1, max(2, size // 8)))
    if accident == 0:  # cut off
        return clean[:start]
    if accident == 1:  # a hole of zeros, as after a failed download
        return clean[:start] + bytes(len(clean[start : start + stretch])) + clean[start + stretch :]
    if accident == 2:  # a stretch lost
        return clean[:start] + clean[start + stretch :]
    if accident == 3:  # single bits flipped
        copy = bytearray(clean)
        for place in rng.integers(0, size, size=int(rng.integers(1, 20))):
            copy[place] ^= 1 << int(rng.integers(0, 8))
        return bytes(copy)
    if accident == 4:  # noise over a stretch
        noise = rng.integers(0, 256, size=len(clean[start : start + stretch]), dtype=np.uint8).tobytes()
        return clean[:start] + noise + clean[start + stretch :]
    return clean[: size // 2] + clean[size // 2 : size // 2 + stretch] + clean[size // 2 :]  # a stretch twice
