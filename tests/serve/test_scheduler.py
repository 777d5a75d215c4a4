"""Scheduling: first come, first served, and no slot is held forever while others wait."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.serve.scripted import ScriptedProcess, scripted
from videogen.serve.engine import engine as engines
from videogen.serve.engine.scheduler import Scheduler
from videogen.serve.requests import GenerationParams

TURN = 20.0


@dataclass(eq=False)
class Wanting:
    """What the scheduler knows of a stream."""

    live: bool = True
    wants_work: bool = True
    has_slot: bool = False
    slot_since: float = 0.0
    position: int | None = None

    def schedule(self, position: int | None, now: float) -> None:
        has_slot = position is None and self.wants_work
        self.slot_since = self.slot_since if self.has_slot else now
        self.has_slot, self.position = has_slot, position


def scheduler(slots: int) -> Any:
    return Scheduler(slots, TURN)


def given(streams: list[Wanting]) -> str:
    return "".join(name for name, stream in zip("abcdefgh", streams, strict=False) if stream.has_slot)


def test_no_rotation_while_nobody_waits():
    streams, ours = [Wanting() for _ in range(2)], scheduler(2)
    for instant in range(1000):
        ours.update(streams, True, instant)
        assert given(streams) == "ab"


def test_waiting_stream_gets_the_slot_after_a_turn():
    streams, ours = [Wanting() for _ in range(3)], scheduler(2)
    ours.update(streams, True, 0.0)
    ours.update(streams, True, TURN - 0.1)
    assert (given(streams), streams[2].position) == ("ab", 1)
    ours.update(streams, True, TURN)
    assert (given(streams), streams[0].position) == ("bc", 1)
    ours.update(streams, True, TURN)
    assert given(streams) == "bc", "turns end one at a time"
    ours.update(streams, True, 1.5 * TURN)
    assert given(streams) == "ac"


@pytest.mark.parametrize(("places", "count"), [(1, 2), (2, 3), (4, 5), (4, 8), (3, 8)])
def test_shares_are_equal_and_turns_are_whole(places, count):
    streams, ours, had = [Wanting() for _ in range(count)], scheduler(places), [0] * count
    turns: list[float] = []
    seconds = 40 * count * round(TURN)
    for instant in range(seconds):
        before = [(stream.has_slot, stream.slot_since) for stream in streams]
        ours.update(streams, True, float(instant))
        assert len(given(streams)) == places
        for number, stream in enumerate(streams):
            had[number] += stream.has_slot
            if before[number][0] and not stream.has_slot:
                turns.append(instant - before[number][1])
    assert min(turns) >= TURN
    assert max(had) - min(had) <= 2 * TURN
    assert min(had) > 0.9 * seconds * places / count


def test_jobs_take_turns_like_streams():
    """Behind four long jobs, a stream gets a slot after one turn."""
    everything, ours = [*(Wanting(live=False) for _ in range(4)), Wanting()], scheduler(4)
    ours.update(everything, True, 0.0)
    assert given(everything) == "abcd"
    ours.update(everything, True, TURN)
    assert given(everything) == "bcde"
    had = dict.fromkeys("abcde", 0)
    for instant in range(round(TURN), 50 * round(TURN)):
        ours.update(everything, True, float(instant))
        for name in given(everything):
            had[name] += 1
    assert max(had.values()) - min(had.values()) <= 2 * TURN


def test_without_a_model_the_order_stays():
    streams, ours = [Wanting() for _ in range(3)], scheduler(2)
    ours.update(streams, True, 0.0)
    for instant in (1.0, 500.0):
        ours.update(streams, False, instant)
        assert [stream.position for stream in streams] == [1, 2, 3]
    ours.update(streams, True, 501.0)
    assert given(streams) == "ab"


def test_stream_that_loses_its_slot_is_paused_and_reported(monkeypatch):
    clock = [0.0]

    async def scene():
        script = ScriptedProcess()
        async with scripted(script, streams=1, turn_seconds=TURN, idle_seconds=1e9, forget_seconds=1e9) as engine:
            monkeypatch.setattr(engines, "loop_time", lambda: clock[0])
            first, second = [await engine.open_stream(GenerationParams("x")) for _ in range(2)]
            assert (first.status, second.status, second.queue_position) == ("playing", "queued", 1)
            async with first.watch_preview() as previews:
                seen = [await anext(previews) for _ in range(2)]
                clock[0] = TURN
                async with asyncio.timeout(60):
                    while [one.kind for one in seen].count("queue") < 2:  # by itself: somebody looks now and then
                        seen.append(await anext(previews))
                turns = [dict(one.data) for one in seen if one.kind == "queue"]
                assert turns == [{"status": "playing", "queue_place": None}, {"status": "queued", "queue_place": 1}]
                assert (first.status, second.status) == ("queued", "playing")
                assert script.started() == [first.id, second.id]
                assert script.pauses(first.id) == [True]
                await second.stop()
                assert first.status == "playing"
                assert script.pauses(first.id) == [True, False]

    asyncio.run(scene())
