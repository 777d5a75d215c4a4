"""This checkout beside another one: streaming, training steps of both stages, and the studio's first frame.

    python -m benchmarks.paired OTHER_CHECKOUT [--rounds 7] [--only streaming ...] [--json]

streaming   a stream of the bundled model: CPU seconds of the frames after the first latent frames
tokenizer   a training step of the preset playroom_64_cpu on random playroom clips: CPU seconds
prior       the same for the prior, on the tokens of these clips
studio      `videogen serve`: wall seconds from the request to the first fragment of the video, the median of several

The two checkouts take turns, each measurement in its own process with one thread and with PYTHONPATH set to its
checkout; the checkout that goes first alternates too. A ratio is this checkout over the other, the median over pairs.
Memory is the peak of the process, of the studio the sum over its processes. The processes use only the command line,
HTTP and `from videogen.pipeline import VideoPipeline`, so that they run in older and newer checkouts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from videogen.system.hardware import describe

ROOT = Path(__file__).resolve().parent.parent
WORKERS = Path(__file__).resolve().parent / "paired_workers.py"  # run as a file: the other checkout may not have it
CASES = ("streaming", "tokenizer", "prior", "studio")
LIMITS = {"seconds": 1.03, "peak_mb": 1.02}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the root of another checkout of videogen")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of each case")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    roots = {"here": ROOT, "other": given.other.resolve()}
    with tempfile.TemporaryDirectory() as folder:
        data = {name: prepare(root, Path(folder) / name) for name, root in roots.items()}
        cases = {case: measure(case, roots, data, given.rounds) for case in given.only}
    figures = {"hardware": describe(), "rounds": given.rounds, "cases": cases}
    print(json.dumps(figures, indent=2) if given.json else table(figures))


def prepare(root: Path, folder: Path) -> Path:
    """Clips and tokens that this checkout wrote itself: formats of files may differ between the two."""
    folder.mkdir()
    videogen(root, "data", "playroom", str(folder / "clips"), "--clips", "96", "--seed", "1")
    videogen(root, "data", "index", str(folder / "clips"))
    videogen(root, "encode", str(folder / "clips"), str(folder / "tokens"), "--model", "playroom")
    return folder


def videogen(root: Path, *arguments: str) -> None:
    run(root, ["-m", "videogen", *arguments, "--quiet"])


def measure(case: str, roots: dict[str, Path], data: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Medians of each checkout, and the medians of the ratios of pairs; the first pair is not counted."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in roots}
    for number in range(rounds + 1):
        for name in sorted(roots, reverse=number % 2 == 1):
            answer = run(roots[name], [str(WORKERS), case, str(data[name])])
            found[name].append(json.loads(answer.splitlines()[-1]))
    pairs = list(zip(found["here"], found["other"], strict=True))[1:]
    row: dict[str, Any] = {}
    for figure in ("seconds", "peak_mb"):
        row[figure] = {
            "here": statistics.median(here[figure] for here, _ in pairs),
            "other": statistics.median(other[figure] for _, other in pairs),
            "ratio": statistics.median(here[figure] / other[figure] for here, other in pairs),
        }
    return {**row, "same_result": all(here["result"] == other["result"] for here, other in pairs)}


def run(root: Path, arguments: list[str]) -> str:
    """The standard output of a process that finds the packages of this checkout before all others."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-W", "ignore", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{root}: {' '.join(arguments)} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout


def table(figures: dict[str, Any]) -> str:
    lines = [f"this checkout over the other on {figures['hardware']}: medians of {figures['rounds']} pairs"]
    for case, row in figures["cases"].items():
        cells = []
        for figure, unit, scale in (("seconds", "ms", 1000), ("peak_mb", "MB", 1)):
            each = row[figure]
            mark = "" if each["ratio"] <= LIMITS[figure] else f" (above {LIMITS[figure]})"
            cells.append(f"{scale * each['here']:.1f} / {scale * each['other']:.1f} {unit}, {each['ratio']:.3f}{mark}")
        same = "the same result" if row["same_result"] else "DIFFERENT RESULTS"
        lines.append(f"  {case:<10} {'; '.join(cells)}; {same}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
