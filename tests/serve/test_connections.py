"""One connection, without a network and with a clock that stands still: who is waited for, and who is hung up on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.server import ServerState

from videogen.serve import server
from videogen.serve.server import Protocol, StudioServer

ASKS = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Line:
    """The other end's transport: what it has not taken is `left`."""

    def __init__(self) -> None:
        self.left, self.aborted = 0, False

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.left += len(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


class Clock:
    """A loop's timers, which go off when a test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.timers = loop, list[Any]()

    def call_later(self, seconds: float, call: Callable[[], None]) -> "Timer":
        timer = Timer(self, seconds, call)
        self.timers.append(timer)
        return timer

    def create_task(self, work: Any) -> Any:
        return self.loop.create_task(work)

    def go_off(self) -> None:
        """The connection's own: it is set again, or the connection is cut."""
        (timer,) = [timer for timer in self.timers if timer.seconds == server.HEADER_SECONDS]
        timer.cancel()
        timer.call()


class Timer:
    def __init__(self, clock: Clock, seconds: float, call: Callable[[], None]) -> None:
        self.clock, self.seconds, self.call = clock, seconds, call

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


def connected(scene: Callable[[Protocol, Line, Clock, asyncio.Event], Any]) -> None:
    """A scene with a connection to an application that answers with five bytes, when it is allowed to."""

    async def play() -> None:
        allowed = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await allowed.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"12345"})

        config = StudioServer(app, asyncio.Event(), 1000).config
        config.load()
        clock, line = Clock(asyncio.get_running_loop()), Line()
        protocol = Protocol(config, ServerState(), {}, clock)  # type: ignore[arg-type]
        protocol.connection_made(line)  # type: ignore[arg-type]
        await scene(protocol, line, clock, allowed)
        allowed.set()
        await settled()
        protocol.connection_lost(None)

    asyncio.run(play())


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_asks_for_nothing_is_hung_up_on():
    async def scene(protocol, line, clock, allowed):
        clock.go_off()
        assert line.aborted

    connected(scene)


def test_an_answer_that_is_long_in_the_making_is_waited_for():
    async def scene(protocol, line, clock, allowed):
        protocol.data_received(ASKS)
        for _ in range(50):
            clock.go_off()
            assert not line.aborted

    connected(scene)


def test_who_reads_slowly_gets_the_whole_answer():
    """It is complete when it lies in the buffer, however long the way from there is."""

    async def scene(protocol, line, clock, allowed):
        allowed.set()
        protocol.data_received(ASKS)
        await settled()
        for left in range(line.left, 0, -1):
            line.left = left
            clock.go_off()
            assert not line.aborted
        line.left = 0
        clock.go_off()
        assert line.aborted, "all is read, and nothing more was asked for"

    connected(scene)


def test_who_reads_nothing_of_an_answer_is_hung_up_on():
    async def scene(protocol, line, clock, allowed):
        allowed.set()
        protocol.data_received(ASKS)
        await settled()
        clock.go_off()
        assert not line.aborted
        clock.go_off()
        assert line.aborted

    connected(scene)


def test_who_reads_nothing_of_an_answer_that_goes_on_is_hung_up_on():
    async def scene(protocol, line, clock, allowed):
        protocol.data_received(ASKS)
        line.left = 100_000  # and the application waits until it is less
        clock.go_off()
        assert not line.aborted
        protocol.resume_writing()  # some was taken, and as much written again
        clock.go_off()
        assert not line.aborted
        clock.go_off()
        assert line.aborted

    connected(scene)


@pytest.mark.parametrize("most", [1, 3])
def test_there_are_only_so_many(monkeypatch, most):
    monkeypatch.setattr(server, "MOST_CONNECTIONS", most)

    async def scene() -> None:
        config = StudioServer(None, asyncio.Event(), 1000).config  # type: ignore[arg-type]
        state, lines = ServerState(), [Line() for _ in range(most + 1)]
        config.load()
        protocols = [Protocol(config, state, {}, Clock(asyncio.get_running_loop())) for _ in lines]  # type: ignore[arg-type]
        for protocol, line in zip(protocols, lines, strict=True):
            protocol.connection_made(line)  # type: ignore[arg-type]
        assert [line.aborted for line in lines] == [False] * most + [True]
        for protocol in protocols:
            protocol.connection_lost(None)
        assert not state.connections

    asyncio.run(scene())
