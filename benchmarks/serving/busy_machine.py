"""Generation on a quiet machine and beside busy processes, for several settings of threads.

    python -m benchmarks.serving.busy_machine --settings "" OMP_NUM_THREADS=1 GOMP_SPINCOUNT=300000,OMP_NUM_THREADS=2

Each round generates the same video once with each setting, first alone and then beside `--busy` processes that only
count. Prints medians. A setting may name another checkout to compare with: PYTHONPATH=/path/to/it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from videogen.system.hardware import describe

PROMPT = "a small red ring drifts left slowly over a dark blue background"
SPIN = [sys.executable, "-c", "while True: pass"]
THREADS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
SHOWN = {"frames_per_second": "frames/s", "seconds_to_first_frame": "first frame, s"}


@contextmanager
def busy(processes: int) -> Iterator[None]:
    started = [subprocess.Popen(SPIN) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def environment(setting: str) -> dict[str, str]:
    """The environment of this process with its thread variables replaced by the setting, `NAME=value,NAME=value`."""
    inherited = {name: value for name, value in os.environ.items() if name not in THREADS}
    return inherited | dict(pair.split("=", 1) for pair in setting.split(",") if pair)


def generate(setting: str, frames: int, file: Path) -> dict[str, Any]:
    command = ["generate", PROMPT, "-o", str(file), "--frames", str(frames), "--seed", "1", "--json", "--quiet"]
    said = subprocess.run(
        [sys.executable, "-m", "videogen", *command, "--overwrite"],
        check=True,
        capture_output=True,
        env=environment(setting),
        cwd=file.parent,  # otherwise Python finds this checkout first
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return {name: found[name] for name in SHOWN}


def measure(settings: list[str], processes: int, frames: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """{setting: {"quiet" or "busy": {figure: median}}}"""
    samples: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for state, others in (("quiet", 0), ("busy", processes)):
                with busy(others):
                    for setting in settings:
                        samples.setdefault((setting, state), []).append(
                            generate(setting, frames, Path(folder) / "made.mp4")
                        )
    found: dict[str, dict[str, dict[str, float]]] = {setting: {} for setting in settings}
    for (setting, state), made in samples.items():
        found[setting][state] = {name: statistics.median(one[name] for one in made) for name in SHOWN}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=["", "OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"])
    parser.add_argument("--busy", type=int, default=1, help="number of busy processes")
    parser.add_argument("--frames", type=int, default=65)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.settings, arguments.busy, arguments.frames, arguments.rounds)
    if arguments.json:
        print(json.dumps({"hardware": describe(), "busy": arguments.busy, "settings": found}, indent=2))
        return
    print(f"{describe()}; {arguments.frames} frames with guidance, medians of {arguments.rounds} alternating rounds")
    print(f"{'':<44}{'frames/s':>10}{'busy':>8}{'first, s':>12}{'busy':>8}")
    for setting, states in found.items():
        numbers = [states[state][name] for name in SHOWN for state in ("quiet", "busy")]
        print(
            f"{setting or 'as it comes':<44}{numbers[0]:>10.1f}{numbers[1]:>8.1f}{numbers[2]:>12.2f}{numbers[3]:>8.2f}"
        )


if __name__ == "__main__":
    main()
