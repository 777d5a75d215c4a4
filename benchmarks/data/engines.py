"""`videogen encode` by one local process and by one worker of a Ray cluster of this machine, in alternating runs.

    python -m benchmarks.data.engines [--clips 1000] [--pairs 3] [--data FOLDER] [--json]

Each run is a command of its own with one thread, from its start to its end; the clips are of the playroom, the model
is the bundled one. The cluster runs before the first command: how long it takes to start is a line of its own. The
engine that goes first alternates; the ratio is that of the medians, and the token sets are compared byte by byte.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from videogen.executors.ray_cluster import cluster
from videogen.system.hardware import describe

ENGINES = ("local", "ray")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--data", type=Path, help="where the clips stay for the next time [default: nowhere]")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = (given.data or Path(folder)) / f"clips_{given.clips}"
        videogen("data", "playroom", str(clips), "--clips", str(given.clips), "--seed", "1")
        videogen("data", "index", str(clips))
        figures = measure(clips, Path(folder), given.pairs)
    figures = {
        "hardware": describe(),
        "load": os.getloadavg()[0],
        "clips": given.clips,
        "pairs": given.pairs,
        **figures,
    }
    print(json.dumps(figures, indent=2) if given.json else table(figures))


def measure(clips: Path, folder: Path, pairs: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
    digests: set[str] = set()
    began = time.perf_counter()
    with cluster(None, 1) as ray:
        start = time.perf_counter() - began
        options = {"local": (), "ray": ("--engine", "ray", "--address", ray.get_runtime_context().gcs_address)}
        for number in range(pairs):
            for name in sorted(ENGINES, reverse=number % 2 == 1):
                out = folder / f"{name}_{number}"
                began = time.perf_counter()
                encode = ("encode", str(clips), str(out), "--model", "playroom", "--threads", "1")
                videogen(*encode, "--workers", "1", *options[name])
                seconds[name].append(time.perf_counter() - began)
                digests.add(digest(out))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ratio = medians["ray"] / medians["local"]
    return {"seconds": seconds, "ratio": ratio, "cluster_start": start, "same_bytes": len(digests) == 1}


def videogen(*arguments: str) -> None:
    command = [sys.executable, "-m", "videogen", *arguments, "--quiet"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


def digest(folder: Path) -> str:
    hashed = hashlib.sha256()
    for place in sorted(each for each in folder.rglob("*") if each.is_file()):
        hashed.update(place.relative_to(folder).as_posix().encode() + place.read_bytes())
    return hashed.hexdigest()


def table(figures: dict[str, Any]) -> str:
    lines = [
        f"{figures['clips']} clips, one worker of one thread, {figures['pairs']} pairs of runs, {figures['hardware']}"
    ]
    for name, each in figures["seconds"].items():
        lines.append(f"  {name:<6} {statistics.median(each):7.1f} s  ({', '.join(f'{one:.1f}' for one in each)})")
    lines.append(f"  ratio of medians {figures['ratio']:.3f}; a cluster starts in {figures['cluster_start']:.1f} s")
    lines.append(f"  {'the same bytes' if figures['same_bytes'] else 'DIFFERENT BYTES'}; load {figures['load']:.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
