"""Start-up time of `videogen --help` relative to `import torch`, in pairs.

Also the share of a whole `videogen generate` that is not the model: starting, loading, writing the file.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from videogen.system.hardware import describe

HELP = [sys.executable, "-m", "videogen", "--help"]
TORCH = [sys.executable, "-c", "import torch"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def generate_overhead(frames: int) -> tuple[float, float]:
    """Seconds of a command that generates so many frames, and the share of them outside the model."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["generate", "a red disc moves right", "-o", str(Path(folder) / "disc.mp4"), "--frames", str(frames)]
        began = time.perf_counter()
        said = subprocess.run(
            [sys.executable, "-m", "videogen", *asked, "--seed", "1", "--json", "--quiet"],
            check=True,
            capture_output=True,
        )
        whole = time.perf_counter() - began
    figures = json.loads(said.stdout)
    each = figures["prior_ms_per_latent_frame"] + figures["decoder_ms_per_latent_frame"]
    return whole, 1 - each * figures["latent_frames"] / 1000 / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, nargs="+", default=[33, 481], help="lengths of the videos")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds(HELP), seconds(TORCH)  # warm-up of the disk cache
    pairs = [(seconds(HELP), seconds(TORCH)) for _ in range(arguments.rounds)]
    made = {frames: generate_overhead(frames) for frames in arguments.frames}
    figures = {
        "hardware": describe(),
        "help_seconds": statistics.median(helped for helped, _ in pairs),
        "import_torch_seconds": statistics.median(torch for _, torch in pairs),
        "ratio": statistics.median(helped / torch for helped, torch in pairs),
        "generate": made,
    }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"start-up on {figures['hardware']}")
    print(
        f"  videogen --help {figures['help_seconds']:.2f} s, import torch {figures['import_torch_seconds']:.2f} s, "
        f"median ratio {figures['ratio']:.2f} (goal: under 0.5)"
    )
    for frames, (whole, around) in made.items():
        print(f"  videogen generate --frames {frames}: {whole:.1f} s, {around:.0%} of it outside the model")


if __name__ == "__main__":
    main()
