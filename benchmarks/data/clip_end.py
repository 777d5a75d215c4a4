"""Reading the last 13 frames of a 4K clip, and 13 from its middle: time and memory of each method.

"scan" reads the whole file first, as indexing does; "probe" decodes only the end. "at once" decodes 13 frames and then
scales them; "one by one" scales each as it is decoded. Each method runs in its own process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import DeviceSetting, peak_memory_mb, reset_peak_memory
from videogen.io import fit, probe, read, scan
from videogen.io.images import clip_frames
from videogen.system.hardware import describe

HEIGHT, WIDTH, FPS, CLIP, SIZE = 2160, 3840, 30, 13, 64
METHODS: dict[str, Callable[[Path], Any]] = {
    "the end, scan": lambda path: list(clip_frames(path, scan(path), 8, SIZE, SIZE, CLIP)),
    "the end, probe": lambda path: list(clip_frames(path, probe(path), 8, SIZE, SIZE, CLIP)),
    "the middle, at once": lambda path: fit(read(path, middle(path), probe(path)), SIZE, SIZE),
    "the middle, one by one": lambda path: read(path, middle(path), probe(path), size=(SIZE, SIZE)),
}


def middle(path: Path) -> list[int]:
    start = len(probe(path).pts) // 2
    return list(range(start, start + CLIP))


def make_video(path: Path, frames: int) -> None:
    """A moving blurred random image, and a bar that moves over it."""
    small = np.random.default_rng(0).integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    ground = np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(2 * FPS), "preset": "veryfast"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(frames):
            frame = np.roll(ground, (4 * number, 6 * number), (0, 1))
            frame[100:900, 8 * number : 8 * number + 800] = 5 * number % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def measure(path: Path, method: str) -> dict[str, float]:
    fit(np.zeros((1, 8, 8, 3), np.uint8), 4, 4)  # imports torch
    where = DeviceSetting(torch.device("cpu"), torch.float32)
    reset_peak_memory(where)
    before, began = peak_memory_mb(where), time.perf_counter()
    METHODS[method](path)
    return {"seconds": round(time.perf_counter() - began, 2), "mib": round(peak_memory_mb(where) - before)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), arguments.measure[1])))
        return
    figures: dict[str, Any] = {"hardware": describe(), "frames": arguments.frames, "methods": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "4k.mp4"
        make_video(path, arguments.frames)
        for method in METHODS:
            command = [sys.executable, "-m", "benchmarks.data.clip_end", "--measure", str(path), method]
            figures["methods"][method] = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout
            )
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{CLIP} frames of {arguments.frames} of {HEIGHT} x {WIDTH}, H.264, on {figures['hardware']}")
    for method, row in figures["methods"].items():
        print(f"  {method:<24} {row['seconds']:6.2f} s  {row['mib']:5.0f} MiB")


if __name__ == "__main__":
    main()
