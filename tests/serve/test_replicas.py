"""Several model processes behind one server: who gets a stream, and what becomes of it when a process ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.serve.scenes import RING, STAR, finished, pieces_of, until
from tests.serve.scripted import ScriptedProcess, scripted
from videogen.errors import ResourceError
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.launcher import ModelProcessLauncher, local_launchers
from videogen.serve.engine.placement import choose, moves
from videogen.serve.limits import ServerLimits
from videogen.serve.requests import GenerationParams

X = GenerationParams("x", seed=1, frames=1)


@dataclass(eq=False)
class Spot:
    """What placement knows of a replica."""

    usable: bool
    draining: bool
    load: int
    unstarted: list[Any] = field(default_factory=list)

    def waiting(self) -> list[Any]:
        return list(self.unstarted)


def test_work_waits_nowhere_while_another_replica_has_less_to_do():
    draw = Random(0)
    for _ in range(200):
        spots = [Spot(draw.random() < 0.7, False, draw.randrange(9)) for _ in range(draw.randrange(1, 5))]
        for spot in spots:
            spot.unstarted = [SimpleNamespace() for _ in range(draw.randrange(spot.load + 1))]
        loads = sum(spot.load for spot in spots)
        for stream, left, better in moves(spots):
            left.unstarted.remove(stream)
            better.unstarted.append(stream)
            left.load, better.load = left.load - 1, better.load + 1
        assert sum(spot.load for spot in spots) == loads
        usable = [spot for spot in spots if spot.usable]
        least = min((spot.load for spot in usable), default=0)
        assert all(spot.load <= least + 1 for spot in usable if spot.unstarted)
        assert not usable or not any(spot.unstarted for spot in spots if not spot.usable)
        if usable:
            assert choose(spots).load == least


def test_each_replica_has_a_gpu_of_its_own():
    def devices(device, count):
        return [launcher.device for launcher in local_launchers(Path("play"), device, None, 1, count)]

    assert devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:2"]
    assert (devices("cuda", 1), devices("cuda:1", 2), devices("cpu", 2)) == (["cuda"], ["cuda:1"] * 2, ["cpu"] * 2)


def owners(scripts: list[ScriptedProcess]) -> dict[str, int]:
    """Which process has started a stream; a later start counts."""
    return {id: number for number, script in enumerate(scripts) for id in script.started()}


def test_streams_go_to_the_replica_with_fewer_and_stay_there():
    async def scene():
        scripts = [ScriptedProcess(), ScriptedProcess()]
        async with scripted(*scripts, streams=2, queued=1, idle_seconds=1e9) as engine:
            streams = [await engine.open_stream(X) for _ in range(5)]
            assert [owners(scripts).get(stream.id) for stream in streams] == [0, 1, 0, 1, None]
            assert (streams[4].status, streams[4].queue_position) == ("queued", 1)
            await streams[1].stop()
            await streams[3].stop()
            assert owners(scripts)[streams[4].id] == 1, "it waited for replica 0, and replica 1 was free"
            assert [streams[number].status for number in (0, 2, 4)] == ["playing"] * 3
            counted = engine.replica_counters
            assert [each["streams"] for each in counted] == [2, 1]
            assert [each["up"] for each in counted] == [1, 1]

    asyncio.run(scene())


def test_death_of_a_replica_fails_its_streams_alone_and_its_jobs_begin_again():
    async def scene():
        scripts = [ScriptedProcess(), ScriptedProcess()]
        async with scripted(*scripts, streams=4) as engine:
            job, other = await engine.submit(X), await engine.submit(X)
            stream, kept = await engine.open_stream(X), await engine.open_stream(X)
            assert owners(scripts) == {job.id: 0, other.id: 1, stream.id: 0, kept.id: 1}
            scripts[0].makes(job.id)
            await until(lambda: job.stream.frames_made == 1)
            scripts[0].die()
            await until(lambda: stream.status == "failed")
            assert "please try again" in stream.error
            assert (job.status, job.progress, kept.status, other.status) == ("in_progress", 0, "playing", "in_progress")
            assert owners(scripts)[job.id] == 1
            scripts[0].makes(job.id)  # too late: it is no longer of this process
            scripts[0].ends(job.id, "too late")
            await until(engine.replicas[0].supervisor.restarts.__index__)
            scripts[1].makes(job.id)
            scripts[1].ends(job.id)
            assert (await finished(job)).status == "completed"
            assert job.stream.frames_made == 1
            assert engine.counters["jobs_restarted"] == 1
            assert [each["restarts"] for each in engine.replica_counters] == [1, 0]
            assert [each["frames"] for each in engine.replica_counters] == [2, 1]
        assert not engine.at_work

    asyncio.run(scene())


def test_job_that_ends_process_after_process_fails():
    async def scene():
        scripts = [ScriptedProcess(), ScriptedProcess()]
        async with scripted(*scripts) as engine:
            job = await engine.submit(X)
            for deaths in range(1, 4):
                await until(lambda: job.stream.started)
                scripts[owner_now(engine, job.id)].die()
                await until(lambda deaths=deaths: job.stream.deaths == deaths)
            assert (await finished(job)).status == "failed"
            assert (await engine.submit(X)).status == "in_progress"

    asyncio.run(scene())


def owner_now(engine: Engine, id: str) -> int:
    return next(number for number, replica in enumerate(engine.replicas) if id in replica.streams)


def test_rolling_restart_loses_no_job():
    """One replica after the other; new work goes to the other ones, and what has not ended by then begins again."""

    async def scene():
        scripts = [ScriptedProcess(), ScriptedProcess()]
        async with scripted(*scripts, grace_seconds=0.2) as engine:
            stream, other, job = await engine.open_stream(X), await engine.open_stream(X), await engine.submit(X)
            assert owners(scripts) == {stream.id: 0, other.id: 1, job.id: 0}
            engine.replicas.restart()
            engine.replicas.restart()  # a second one at the same time does nothing
            await until(lambda: engine.replicas[0].draining)
            later = await engine.submit(X)
            assert owners(scripts)[later.id] == 1
            await until(lambda: engine.replicas[1].draining)
            assert "restarted" in stream.error
            assert other.status == "playing", "its turn has not come"
            assert owners(scripts)[job.id] == 1
            await until(lambda: [each["restarts"] for each in engine.replica_counters] == [1, 1])
            assert other.status == "failed"
            assert [scripts[0].started().count(each.id) for each in (job, later)] == [2, 1]
            for each in (job, later):
                scripts[0].makes(each.id)
                scripts[0].ends(each.id)
                assert (await finished(each)).status == "completed"
            assert (engine.counters["jobs_failed"], engine.counters["jobs_completed"]) == (0, 2)
            await until(lambda: engine.replicas[1].usable)

    asyncio.run(scene())


def test_restart_of_the_only_replica_keeps_what_waits():
    async def scene():
        script = ScriptedProcess()
        async with scripted(script, streams=1, grace_seconds=0.0) as engine:
            job, waits = await engine.submit(X), await engine.open_stream(X)
            engine.replicas.restart()
            await until(lambda: engine.replicas[0].supervisor.restarts == 1 and engine.replicas[0].usable)
            assert script.starts == 2
            assert script.started() == [job.id, waits.id], "one slot, and the stream has waited longer"
            assert (job.status, waits.status) == ("queued", "playing")
            await waits.stop()
            assert script.started()[2:] == [job.id]

    asyncio.run(scene())


def test_a_restart_that_fails_ends_there():
    async def scene():
        scripts = [ScriptedProcess(ResourceError("no memory")), ScriptedProcess()]
        async with scripted(*scripts) as engine:
            engine.replicas.restart()
            await until(lambda: engine.replicas[0].supervisor.restarts == 1)
            assert (scripts[0].starts, scripts[1].starts) == (3, 1)
            assert engine.healthy()

    asyncio.run(scene())


@asynccontextmanager
async def two_real_ones(model: Any, **limits: Any) -> AsyncIterator[Engine]:
    launcher = ModelProcessLauncher(model, None, None, 1)
    engine = await Engine.open(ServerLimits(**limits), [launcher, launcher])
    try:
        yield engine
    finally:
        await engine.close()


PARAMS, WATCHED = GenerationParams(RING, seed=3, frames=121), GenerationParams(STAR, seed=4, frames=41)


def test_killed_process_changes_no_bytes(tiny_model_folder):
    """Neither of the job that it was making, nor of a stream of the other one."""

    async def scene():
        async with two_real_ones(tiny_model_folder) as engine:
            quiet = (await finished(await engine.submit(PARAMS))).content().read_bytes()
            alone = b"".join(await pieces_of(await engine.open_stream(WATCHED)))
            job, stream = await engine.submit(PARAMS), await engine.open_stream(WATCHED)
            seen = asyncio.create_task(pieces_of(stream))
            await until(lambda: job.stream.frames_made > 0)
            engine.kill_model(replica=owner_now(engine, job.id))
            assert (await finished(job)).content().read_bytes() == quiet
            assert b"".join(await seen) == alone
            assert engine.counters["jobs_restarted"] == 1

    asyncio.run(scene())


@pytest.mark.slow
def test_rolling_restart_changes_no_bytes(tiny_model_folder):
    async def scene():
        async with two_real_ones(tiny_model_folder, grace_seconds=0.0) as engine:
            quiet = (await finished(await engine.submit(PARAMS))).content().read_bytes()
            job = await engine.submit(PARAMS)
            await until(lambda: job.stream.frames_made > 0)
            engine.replicas.restart()
            later = [await engine.submit(PARAMS) for _ in range(3)]
            for each in (job, *later):
                assert (await finished(each)).content().read_bytes() == quiet
            await until(lambda: [each["restarts"] for each in engine.replica_counters] == [1, 1])
            assert engine.counters["jobs_failed"] == 0

    asyncio.run(scene())
