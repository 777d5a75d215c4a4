"""Speed of the samplers at 64 and 256 tokens per latent frame: parallel decoding compared to token by token.

The model has random weights and the shape of the bundled one. Weights do not change the speed, except of the adaptive
order, which never reaches its threshold here and takes all of its steps.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.measuring.random_models import PriorSize, write_random_model
from videogen.evaluation.lab.bench import bench
from videogen.evaluation.lab.bench_report import as_table
from videogen.pipeline import VideoPipeline
from videogen.system.hardware import describe

SIZE = PriorSize(width=256, layers=6, heads=4, kv_heads=1, hidden=704)
PROMPT = "a small red ring drifts left slowly over a dark blue background"


def measure_grid(grid: int, rounds: int) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        model = write_random_model(Path(folder), grid, SIZE)
        began = time.perf_counter()
        pipe = VideoPipeline.from_pretrained(model)
        loading = time.perf_counter() - began
        return {"loading_seconds": loading, **bench(pipe.model, pipe.request([PROMPT], None, 1, 0, {}), rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", type=int, nargs="+", default=[8, 16], help="tokens of a row and of a column")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = {grid: measure_grid(grid, arguments.rounds) for grid in arguments.grids}
    if arguments.json:
        print(json.dumps({"hardware": describe(), "grids": found}, indent=2))
        return
    print(describe())
    for figures in found.values():
        print(f"\n{as_table(figures)}")


if __name__ == "__main__":
    main()
