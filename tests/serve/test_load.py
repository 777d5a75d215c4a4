"""Many viewers, many abandoned streams, and a model process that dies; the full sizes are in the slow tier."""

import asyncio
from pathlib import Path

import pytest

from tests.serve.scenes import children, crowd, descriptors, dropped, killed, tasks, until


@pytest.fixture
def calm(home):
    """A test leaves nothing but the engine."""

    async def state():
        await until(lambda: not home.engine.at_work)
        return tasks(), descriptors(), children()

    before = home.run(state())
    yield
    assert home.run(state()) == before


@pytest.mark.usefixtures("calm")
def test_a_crowd(home):
    found = home.run(crowd(home.engine, 20, 2.0))
    assert found["pieces"] > 3
    assert (found["missed"], found["differ"]) == (0, 0)
    assert found["attendance"] == 12
    assert found["tasks"] <= 0


@pytest.mark.usefixtures("calm")
def test_streams_and_jobs_dropped_at_random_moments(home):
    adds_up(home.run(dropped(home.engine, 20)), home.engine)
    home.run(silence(home.engine))


async def silence(engine):
    """The model process sends nothing for streams that have ended."""
    await asyncio.sleep(0.5)
    last = engine.replicas[0].supervisor.last_message_at
    await asyncio.sleep(0.5)
    assert engine.replicas[0].supervisor.last_message_at == last


def adds_up(found, engine):
    assert found["streams_opened"] == found["streams_stopped"]
    assert found["jobs_opened"] == found["jobs_stopped"] + found["jobs_completed"]
    assert found["streams_failed"] == found["jobs_failed"] == found["viewers"] == 0
    assert engine.counters["streams_open"] == engine.counters["jobs_open"] == engine.counters["playing"] == 0
    kept = {job.content() for job in engine.jobs() if job.status == "completed"}
    assert set(Path(engine._folder.path).iterdir()) == kept


def test_a_model_process_that_dies(home):
    before = home.engine.counters["model_restarts"]
    for found in home.run(killed(home.engine, 1)):
        assert found["completed"]
    assert home.engine.counters["model_restarts"] == before + 1
    assert home.engine.healthy()


@pytest.mark.slow
@pytest.mark.usefixtures("calm")
def test_a_large_crowd(home):
    found = home.runner.run(crowd(home.engine, 200, 60.0))
    assert (found["missed"], found["differ"], found["attendance"]) == (0, 0, 120)


@pytest.mark.slow
@pytest.mark.usefixtures("calm")
def test_five_hundred_streams_and_jobs_dropped(home):
    adds_up(home.runner.run(dropped(home.engine, 500)), home.engine)
    home.run(silence(home.engine))


@pytest.mark.slow
def test_a_model_process_that_dies_twenty_times(home):
    found = home.runner.run(killed(home.engine, 20))
    assert all(each["completed"] for each in found)
