"""Random clips of 17 frames from longer videos: decord against PyAV, in pairs, with the frames compared by hash."""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from videogen.io import Scan, choose_backend, read, scan
from videogen.playroom.render import render
from videogen.playroom.scene import sample_scenes
from videogen.system.hardware import describe

CASES = {"320 x 320, H.264, key frames every 48": (320, 48), "128 x 128, H.264, key frames every 12": (128, 12)}
FRAMES, CLIP = 240, 17


def make_video(path: Path, size: int, distance: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"g": str(distance), "crf": "23"})
        assert isinstance(stream, av.VideoStream)
        stream.height = stream.width = size
        stream.pix_fmt = "yuv420p"
        for frame in render(sample_scenes(1, 1), FRAMES, size, 24.0)[0].numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def milliseconds(path: Path, known: Scan, backend: Any, start: int) -> float:
    began = time.perf_counter()
    read(path, range(start, start + CLIP), known, backend)
    return 1e3 * (time.perf_counter() - began)


def compare(path: Path, rounds: int) -> dict[str, Any]:
    known = scan(path)
    chosen = choose_backend(path, known)
    starts = np.random.default_rng(0).integers(0, FRAMES - CLIP, size=rounds).tolist()
    if chosen != "decord":
        return {"chosen": chosen, "pyav_ms": statistics.median(milliseconds(path, known, "pyav", s) for s in starts)}
    pairs = [(milliseconds(path, known, "pyav", start), milliseconds(path, known, "decord", start)) for start in starts]
    return {
        "chosen": chosen,
        "pyav_ms": statistics.median(pyav for pyav, _ in pairs),
        "decord_ms": statistics.median(decord for _, decord in pairs),
        "decord_over_pyav": statistics.median(decord / pyav for pyav, decord in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"hardware": describe(), "cases": {}}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (size, distance)) in enumerate(CASES.items()):
            path = Path(folder) / f"{number}.mp4"
            make_video(path, size, distance)
            figures["cases"][name] = compare(path, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"random reads of {CLIP} frames on {figures['hardware']}: medians of {arguments.rounds} pairs")
    for name, row in figures["cases"].items():
        beside = (
            f", decord {row['decord_ms']:.1f} ms, ratio {row['decord_over_pyav']:.2f}" if "decord_ms" in row else ""
        )
        print(f"  {name}: PyAV {row['pyav_ms']:.1f} ms{beside}; the index chose {row['chosen']}")


if __name__ == "__main__":
    main()
