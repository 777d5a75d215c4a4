"""Turns of the model: who came first has them first, and while others wait nobody has them for ever."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.serve.scripted import Script, scripted
from videogen.serve.engine import engine as engines
from videogen.serve.engine.scheduler import Scheduler
from videogen.serve.requests import GenerationParams

TURN = 20.0


@dataclass(eq=False)
class Wanting:
    """What the line knows of a stream."""

    live: bool = True
    wants_work: bool = True
    given: bool = False
    given_since: float = 0.0
    place: int | None = None

    def give(self, place: int | None, instant: float) -> None:
        given = place is None and self.wants_work
        self.given_since = self.given_since if self.given else instant
        self.given, self.place = given, place


def line(places: int) -> Any:
    return Scheduler(places, TURN)


def given(streams: list[Wanting]) -> str:
    return "".join(name for name, stream in zip("abcdefgh", streams, strict=False) if stream.given)


def test_who_comes_first_has_the_turns_while_nobody_waits():
    streams, ours = [Wanting() for _ in range(2)], line(2)
    for instant in range(1000):
        ours.arrange(streams, True, instant)
        assert given(streams) == "ab"


def test_who_waits_gets_a_turn_when_one_is_over():
    streams, ours = [Wanting() for _ in range(3)], line(2)
    ours.arrange(streams, True, 0.0)
    ours.arrange(streams, True, TURN - 0.1)
    assert (given(streams), streams[2].place) == ("ab", 1)
    ours.arrange(streams, True, TURN)
    assert (given(streams), streams[0].place) == ("bc", 1)
    ours.arrange(streams, True, TURN)
    assert given(streams) == "bc", "turns end one at a time"
    ours.arrange(streams, True, 1.5 * TURN)
    assert given(streams) == "ac"


@pytest.mark.parametrize(("places", "count"), [(1, 2), (2, 3), (4, 5), (4, 8), (3, 8)])
def test_over_time_all_have_the_same_share_and_every_turn_is_whole(places, count):
    streams, ours, had = [Wanting() for _ in range(count)], line(places), [0] * count
    turns: list[float] = []
    seconds = 40 * count * round(TURN)
    for instant in range(seconds):
        before = [(stream.given, stream.given_since) for stream in streams]
        ours.arrange(streams, True, float(instant))
        assert len(given(streams)) == places
        for number, stream in enumerate(streams):
            had[number] += stream.given
            if before[number][0] and not stream.given:
                turns.append(instant - before[number][1])
    assert min(turns) >= TURN
    assert max(had) - min(had) <= 2 * TURN
    assert min(had) > 0.9 * seconds * places / count


def test_jobs_take_turns_like_streams():
    """Four long ones came first, and still a stream that is watched is worked on after a turn."""
    everything, ours = [*(Wanting(live=False) for _ in range(4)), Wanting()], line(4)
    ours.arrange(everything, True, 0.0)
    assert given(everything) == "abcd"
    ours.arrange(everything, True, TURN)
    assert given(everything) == "bcde"
    had = dict.fromkeys("abcde", 0)
    for instant in range(round(TURN), 50 * round(TURN)):
        ours.arrange(everything, True, float(instant))
        for name in given(everything):
            had[name] += 1
    assert max(had.values()) - min(had.values()) <= 2 * TURN


def test_without_a_model_nobody_has_a_turn_and_the_order_stays():
    streams, ours = [Wanting() for _ in range(3)], line(2)
    ours.arrange(streams, True, 0.0)
    for instant in (1.0, 500.0):
        ours.arrange(streams, False, instant)
        assert [stream.place for stream in streams] == [1, 2, 3]
    ours.arrange(streams, True, 501.0)
    assert given(streams) == "ab"


def test_a_stream_that_loses_its_turn_is_paused_and_its_viewers_are_told(monkeypatch):
    clock = [0.0]

    async def scene():
        script = Script()
        async with scripted(script, streams=1, turn_seconds=TURN, idle_seconds=1e9, forget_seconds=1e9) as engine:
            monkeypatch.setattr(engines, "now", lambda: clock[0])
            first, second = [await engine.open_stream(GenerationParams("x")) for _ in range(2)]
            assert (first.status, second.status, second.queue_position) == ("playing", "queued", 1)
            async with first.watch_preview() as previews:
                seen = [await anext(previews) for _ in range(2)]
                clock[0] = TURN
                async with asyncio.timeout(60):
                    while [one.kind for one in seen].count("turn") < 2:  # by itself: somebody looks now and then
                        seen.append(await anext(previews))
                turns = [dict(one.data) for one in seen if one.kind == "turn"]
                assert turns == [{"status": "playing", "queue_place": None}, {"status": "queued", "queue_place": 1}]
                assert (first.status, second.status) == ("queued", "playing")
                assert script.begun() == [first.id, second.id]
                assert script.pauses(first.id) == [True]
                await second.stop()
                assert first.status == "playing"
                assert script.pauses(first.id) == [True, False]

    asyncio.run(scene())
