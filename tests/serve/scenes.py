"""Scenes of the load tests, at a small and at the full size."""

import asyncio
import os
import random
from pathlib import Path

from videogen.serve.engine.engine import Engine
from videogen.serve.engine.stream import Stream
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.errors import BusyError
from videogen.serve.requests import GenerationParams

RING = "a small red ring drifts left over a dark blue background"
STAR = "a big yellow star spins over a green background"


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def tasks() -> int:
    return len(asyncio.all_tasks())


def children() -> list[int]:
    """Child processes of this one, zombies included."""
    own, found = str(os.getpid()), []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = place.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if parent == own:
            found.append(int(place.name))
    return found


async def until(condition, seconds: float = 60) -> None:
    """Poll; the timeout only ends what would never end."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def finished(job: VideoJob) -> VideoJob:
    await until(lambda: job.status in ("completed", "failed"))
    return job


async def pieces_of(stream: Stream, count: int | None = None) -> list[bytes]:
    pieces = []
    async with stream.watch_video() as video:
        async for piece in video:
            pieces.append(piece)
            if len(pieces) == count:
                break
    return pieces


async def crowd(engine: Engine, viewers: int, seconds: float, seed: int = 0) -> dict[str, int]:
    """One stream, where a fifth of the viewers stall and a fifth leave. Counts the fragments that the others missed."""
    stream = await engine.open_stream(GenerationParams(RING, seed=1))
    draw, calm = random.Random(seed), {"tasks": tasks(), "descriptors": descriptors()}
    sent: list[bytes] = []
    send = stream.broadcast.video.send

    def listening(piece: bytes) -> int:
        sent.append(piece)
        return send(piece)

    stream.broadcast.video.send = listening  # type: ignore[method-assign]
    stay = [asyncio.create_task(pieces_of(stream)) for _ in range(viewers * 3 // 5)]
    stall = [asyncio.create_task(stalled(stream)) for _ in range(viewers // 5)]
    leave = [asyncio.create_task(leaving(stream, draw.uniform(0, seconds))) for _ in range(viewers // 5)]
    await asyncio.sleep(0)
    begun = len(sent)
    await asyncio.sleep(seconds)
    await until(lambda: engine.counters["viewers_dropped"] >= len(stall))
    attendance = stream.broadcast.viewer_count
    await stream.stop()
    missed = [len(sent[begun:]) - len(pieces[1:]) for pieces in await asyncio.gather(*stay)]
    whole = [pieces[1:] == sent[begun:] for pieces in await asyncio.gather(*stay)]
    await asyncio.gather(*stall, *leave)
    await until(lambda: stream.task.done())
    left = {name: now - calm[name] for name, now in (("tasks", tasks()), ("descriptors", descriptors()))}
    return {"pieces": len(sent), "missed": sum(missed), "differ": whole.count(False), "attendance": attendance, **left}


async def stalled(stream: Stream) -> None:
    """Reads the first fragment, and nothing more until it is dropped."""
    async with stream.watch_video() as video:
        await anext(video)
        await video.lost.wait()


async def leaving(stream: Stream, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await pieces_of(stream)
    except TimeoutError:
        pass


async def dropped(engine: Engine, count: int, seed: int = 0) -> dict[str, float]:
    """Streams and jobs that are stopped at random moments, in every way."""
    draw, before = random.Random(seed), engine.counters
    lives = [one_life(engine, draw.choice(("job", "stop", "delete", "leave", "unseen")), draw) for _ in range(count)]
    waiting = asyncio.Semaphore(engine.limits.streams + engine.limits.queued)

    async def in_turn(life) -> None:
        async with waiting:
            await life

    await asyncio.gather(*map(in_turn, lives))
    await until(lambda: not engine.at_work)
    after = engine.counters
    return {name: after[name] - before[name] for name in after}


async def one_life(engine: Engine, end: str, draw: random.Random) -> None:
    moment = draw.choice((0.0, draw.uniform(0, 0.05), draw.uniform(0, 0.5)))
    params = GenerationParams(RING, seed=draw.randrange(100))
    while True:
        try:
            one = await (engine.submit(params) if end == "job" else engine.open_stream(params))
            break
        except BusyError:
            await asyncio.sleep(0.02)
    if end == "leave":
        await leaving(one, moment)
    else:
        await asyncio.sleep(moment)
    if end == "stop":
        await one.stop()
    else:
        await engine.delete(one.id)


async def killed(engine: Engine, times: int) -> list[dict[str, float]]:
    """Kill the model process in mid-stream; seconds until the client hears of it, and until the next job is done."""
    found = []
    for _ in range(times):
        stream = await engine.open_stream(GenerationParams(RING, seed=1))
        async with stream.watch_video() as video, stream.watch_preview() as previews:
            for _ in range(3):
                await anext(video)
            engine.kill_model()
            began = asyncio.get_running_loop().time()
            heard = [preview async for preview in previews][-1]
            told = asyncio.get_running_loop().time() - began
            await until(lambda: video.closed)
        assert heard.kind == "end"
        assert heard.data["status"] == stream.status == "failed", heard
        job = await finished(await engine.submit(GenerationParams(STAR, seed=2)))
        served = asyncio.get_running_loop().time() - began
        found.append({"heard": told, "served": served, "completed": float(job.status == "completed")})
    return found
