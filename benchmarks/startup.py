"""How long `videogen --help` takes beside `import torch`, in pairs: the command line must feel like a command line."""

import argparse
import json
import statistics
import subprocess
import sys
import time

from benchmarks.hardware import describe

HELP = [sys.executable, "-m", "videogen", "--help"]
TORCH = [sys.executable, "-c", "import torch"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds(HELP), seconds(TORCH)  # once for the disk's cache
    pairs = [(seconds(HELP), seconds(TORCH)) for _ in range(arguments.rounds)]
    figures = {
        "hardware": describe(),
        "help_seconds": statistics.median(helped for helped, _ in pairs),
        "import_torch_seconds": statistics.median(torch for _, torch in pairs),
        "ratio": statistics.median(helped / torch for helped, torch in pairs),
    }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"start-up on {figures['hardware']}")
    print(
        f"  videogen --help {figures['help_seconds']:.2f} s, import torch {figures['import_torch_seconds']:.2f} s, "
        f"median ratio {figures['ratio']:.2f} (goal: under 0.5)"
    )


if __name__ == "__main__":
    main()
