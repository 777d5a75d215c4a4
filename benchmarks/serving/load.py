"""A server under load: many viewers of one stream, hundreds of cancelled streams, and a model process that dies.

Without --model the model has random weights: its frames are noise, which compresses worst. --crowd 0, --drops 0 and
--kills 0 leave out a part.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.measuring.load_clients import Server, ViewerCrowd, quantile
from benchmarks.measuring.random_models import write_random_model
from videogen.serve.engine.engine import Engine
from videogen.serve.errors import BusyError
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import FrameBatch, Message
from videogen.serve.requests import GenerationParams
from videogen.system.hardware import describe

PROMPT = "a small red ring drifts left over a dark blue background"
GRACE = 10.0  # seconds after the last viewer left, before resources are counted


async def measure_crowd(model: Path, viewers: int, seconds: float) -> dict[str, Any]:
    """Viewers over HTTP on the loopback: three fifths stay, a fifth stalls, a fifth leaves at a random time."""
    async with Server(model) as server:
        stream = await server.open_stream(PROMPT)
        before = server.state()
        there = ViewerCrowd(server, stream, viewers, seconds)
        await there.watch()
        await server.end_stream(stream)
        figures = there.figures()
        peak = server.peak
        await asyncio.sleep(GRACE)
        after, counted = server.state(), await server.metrics()
    memory = (peak - before["memory"]) / viewers / 2**20
    return {
        **figures,
        "mib_a_viewer": round(memory, 3),
        "descriptors_left": after["descriptors"] - before["descriptors"],
        "viewers_left": counted["videogen_viewers"],
        "stalled_ones_dropped": counted["videogen_viewers_dropped"],
    }


class StreamActivity:
    """The time of the last frames of each stream from the model process."""

    def __init__(self, engine: Engine):
        self.last: dict[str, float] = {}
        self.after: dict[str, int] = {}  # latent frames after the cancellation
        self.ended: dict[str, float] = {}
        hear = engine.replicas[0].on_message

        def heard(message: Message) -> None:
            if isinstance(message, FrameBatch):
                self.last[message.id] = asyncio.get_running_loop().time()
                if message.id in self.ended:
                    self.after[message.id] = self.after.get(message.id, 0) + 1
            hear(message)

        engine.replicas[0].on_message = heard

    def overrun(self) -> list[float]:
        """Seconds of work on each stream after its cancellation."""
        return [max(0.0, self.last.get(name, 0.0) - ended) for name, ended in self.ended.items()]


async def measure_drops(engine: Engine, count: int, seed: int = 0) -> dict[str, Any]:
    """Streams and jobs that are cancelled at random times, as many at once as the limits allow."""
    overheard, draw, before = StreamActivity(engine), random.Random(seed), engine.counters
    room = asyncio.Semaphore(engine.limits.streams + engine.limits.queued)

    async def one() -> None:
        async with room:
            params = GenerationParams(PROMPT, seed=draw.randrange(1000))
            job = draw.random() < 0.3
            made = await (engine.submit(params) if job else engine.open_stream(params))
            await asyncio.sleep(draw.choice((0.0, draw.uniform(0, 0.1), draw.uniform(0, 2.0))))
            overheard.ended[made.id] = asyncio.get_running_loop().time()
            await engine.delete(made.id)

    await asyncio.gather(*(one() for _ in range(count)))
    await asyncio.sleep(1.0)
    after, overrun = engine.counters, overheard.overrun()
    more = {name: after[name] - before[name] for name in after}
    ended = sum(more[f"{what}_{how}"] for what in ("streams", "jobs") for how in ("stopped", "failed"))
    return {
        "given_up": count,
        "opened_minus_ended": more["streams_opened"] + more["jobs_opened"] - ended - more["jobs_completed"],
        "still_open": after["streams_open"] + after["jobs_open"],
        "tasks_left": engine.at_work,
        "latent_frames_after_it": max(overheard.after.values(), default=0),
        "worked_on_ms_median": round(1000 * quantile(overrun, 0.5), 1),
        "worked_on_ms_most": round(1000 * max(overrun), 1),
    }


async def measure_kills(engine: Engine, times: int) -> dict[str, Any]:
    """Seconds until viewers learn that the model process died, and until the next job is completed."""
    heard, served = [], []
    for number in range(times):
        stream = await engine.open_stream(GenerationParams(PROMPT, seed=number))
        async with stream.watch_video() as film, stream.watch_preview() as previews:
            for _ in range(3):
                await anext(film)
            engine.kill_model("killed by the benchmark")
            began = asyncio.get_running_loop().time()
            async for _ in previews:
                pass
        heard.append(asyncio.get_running_loop().time() - began)
        job = await submit_when_free(engine)
        while job.status not in ("completed", "failed"):
            await asyncio.sleep(0.01)
        assert (stream.status, job.status) == ("failed", "completed")
        served.append(asyncio.get_running_loop().time() - began)
    figures = {"heard_s": heard, "served_s": served}
    shares = {f"{name}_{what}": share for name, all_of in figures.items() for what, share in summarize(all_of).items()}
    return {"kills": times, **shares, "next_jobs_completed": times}


async def submit_when_free(engine: Engine) -> Any:
    while True:
        try:
            return await engine.submit(GenerationParams(PROMPT, seed=0))
        except BusyError:
            await asyncio.sleep(0.1)


def summarize(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(quantile(values, 0.5), 3), "most": round(max(values), 3)}


async def measure(model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {"hardware": describe()}
    if arguments.crowd:
        figures["crowd"] = await measure_crowd(model, arguments.crowd, arguments.seconds)
    if arguments.drops or arguments.kills:
        async with AsyncExitStack() as stack:
            engine = await Engine.start(model, ServerLimits(), threads=1)
            stack.push_async_callback(engine.close)
            if arguments.drops:
                figures["drops"] = await measure_drops(engine, arguments.drops)
            if arguments.kills:
                figures["kills"] = await measure_kills(engine, arguments.kills)
    return figures


def print_figures(title: str, figures: dict[str, Any], as_json: bool) -> None:
    """A line for the hardware, and one for each part."""
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{title} on {figures.pop('hardware')}")
    for part, found in figures.items():
        print(f"  {part}: " + ", ".join(f"{name} {value}" for name, value in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--crowd", type=int, default=200, help="viewers of one stream")
    parser.add_argument("--seconds", type=float, default=60.0, help="time that they watch")
    parser.add_argument("--drops", type=int, default=500, help="cancelled streams and jobs")
    parser.add_argument("--kills", type=int, default=20, help="deaths of the model process")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or write_random_model(Path(folder))
        figures = asyncio.run(measure(model, arguments))
    print_figures("a server under load", figures, arguments.json)


if __name__ == "__main__":
    main()
