"""Several model processes behind one server: how much more they make, and what a client sees when one is killed.

Without --model the model has random weights. --rounds 0 and --streams 0 leave out a part.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring.random_models import write_random_model
from benchmarks.serving.load import PROMPT, print_figures
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.launcher import local_launchers
from videogen.serve.engine.stream import Stream
from videogen.serve.limits import ServerLimits
from videogen.serve.requests import GenerationParams
from videogen.system.hardware import describe


@asynccontextmanager
async def engine_of(model: Path, replicas: int, limits: ServerLimits) -> AsyncIterator[Engine]:
    """One thread for each replica."""
    engine = await Engine.open(limits, local_launchers(model, None, None, 1, replicas))
    try:
        yield engine
    finally:
        await engine.close()


async def frames_per_second(model: Path, replicas: int, jobs: int, frames: int) -> float:
    """Of all jobs together, from the first request to the last file."""
    async with engine_of(model, replicas, ServerLimits(queued=jobs)) as engine:
        began = time.perf_counter()
        made = [await engine.submit(GenerationParams(PROMPT, seed=seed, frames=frames)) for seed in range(jobs)]
        await asyncio.gather(*(job.stream.task for job in made))
        seconds = time.perf_counter() - began
        assert all(job.status == "completed" for job in made)
    return jobs * frames / seconds


async def measure_throughput(model: Path, counts: list[int], rounds: int, jobs: int, frames: int) -> dict[str, Any]:
    """Each round measures all counts of replicas, one after the other."""
    found = [[await frames_per_second(model, count, jobs, frames) for count in counts] for _ in range(rounds)]
    medians = [statistics.median(values) for values in zip(*found, strict=True)]
    ratio = statistics.median(one[-1] / one[0] for one in found)
    speeds = {f"frames_per_second_of_{count}": round(value, 1) for count, value in zip(counts, medians, strict=True)}
    return {**speeds, "median_ratio": round(ratio, 2), "jobs": jobs, "frames": frames, "rounds": rounds}


async def measure_death(model: Path, streams: int) -> dict[str, Any]:
    """Streams on two replicas, each with a viewer; one replica is killed while they are made."""
    limits = ServerLimits(streams=streams, turn_seconds=1e9)
    async with engine_of(model, 2, limits) as engine:
        made = [await engine.open_stream(GenerationParams(PROMPT, seed=seed)) for seed in range(streams)]
        ends = [asyncio.create_task(time_of_end(stream)) for stream in made]
        while not all(stream.frames_made for stream in made):
            await asyncio.sleep(0.05)
        lost = [stream.id in engine.replicas[0].streams for stream in made]
        kept = [stream for stream, gone in zip(made, lost, strict=True) if not gone]
        before = [stream.frames_made for stream in kept]
        engine.kill_model("killed by the benchmark", replica=0)
        killed = time.perf_counter()
        told = [await end - killed for end, gone in zip(ends, lost, strict=True) if gone]
        newcomer = await engine.open_stream(GenerationParams(PROMPT, seed=streams))
        while newcomer.frames_made == 0 or engine.replicas[0].supervisor.restarts == 0:
            await asyncio.sleep(0.01)
        again = time.perf_counter() - killed
        while not all(stream.frames_made > count for stream, count in zip(kept, before, strict=True)):
            await asyncio.sleep(0.01)
        assert not any(stream.ended for stream in kept)
        return {
            "streams": streams,
            "told": len(told),
            "told_after_s_most": round(max(told), 3),
            "new_stream_first_frame_s": round(newcomer.stats["seconds_to_first_frame"], 2),
            "replica_back_s": round(again, 1),
            "others_that_went_on": len(kept),
        }


async def time_of_end(stream: Stream) -> float:
    """When a viewer reads the last event."""
    async with stream.watch_preview() as previews:
        async for _ in previews:
            pass
    return time.perf_counter()


async def measure(model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {"hardware": f"{describe()}, load {os.getloadavg()[0]:.1f} before"}
    if arguments.rounds:
        figures["throughput"] = await measure_throughput(
            model, [1, arguments.replicas], arguments.rounds, arguments.jobs, arguments.frames
        )
    if arguments.streams:
        figures["death"] = await measure_death(model, arguments.streams)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--replicas", type=int, default=2, help="compared with one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=8, help="at the same time")
    parser.add_argument("--frames", type=int, default=33, help="of each job")
    parser.add_argument("--streams", type=int, default=50, help="on two replicas, of which one is killed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or write_random_model(Path(folder))
        figures = asyncio.run(measure(model, arguments))
    print_figures("several model processes", figures, arguments.json)


if __name__ == "__main__":
    main()
