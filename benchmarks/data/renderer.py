"""Playroom clips per minute: rendered, and judged by the oracle."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from videogen.playroom.oracle import look
from videogen.playroom.render import render
from videogen.playroom.scene import sample_scenes
from videogen.system.hardware import describe


def clips_a_minute(work: Callable[[], Any], clips: int, rounds: int) -> list[float]:
    work()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        rates.append(60 * clips / (time.perf_counter() - start))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scenes = sample_scenes(arguments.clips, 0)
    figures: dict[str, Any] = {"hardware": describe(), "threads": arguments.threads, "cases": {}}
    for size in (64, 128):
        clips = render(scenes, 17, size)
        cases: dict[str, Callable[[], Any]] = {
            "render": partial(render, scenes, 17, size),
            "judge": partial(look, clips),
        }
        for name, work in cases.items():
            rates = clips_a_minute(work, arguments.clips, arguments.rounds)
            low, middle, high = min(rates), statistics.median(rates), max(rates)
            figures["cases"][f"{name} {size} x {size} x 17"] = {"median": middle, "min": low, "max": high}
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"playroom on {figures['hardware']}, {arguments.threads} threads: clips a minute, median (min to max)")
    for name, rate in figures["cases"].items():
        print(f"  {name:22} {rate['median']:8,.0f}  ({rate['min']:,.0f} to {rate['max']:,.0f})")


if __name__ == "__main__":
    main()
