"""Timeouts of a connection, with a fake network and a fake clock."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from uvicorn.server import ServerState

from videogen.serve.http import connection_protocol, connections
from videogen.serve.http.connection_protocol import HttpProtocol
from videogen.serve.http.connections import (
    MAX_CONNECTIONS,
    client_key,
    connection_limit,
    connection_to_close,
    connections_for,
)
from videogen.serve.http.server import StudioServer

ASKS = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class FakeTransport:
    """A transport whose unsent bytes are `left`."""

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


class FakeClock:
    """Timers that fire on demand; the time advances with each reading."""

    instants = count()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.timers = loop, list[Any]()

    def call_later(self, seconds: float, call: Callable[[], None]) -> "FakeTimer":
        timer = FakeTimer(self, seconds, call)
        self.timers.append(timer)
        return timer

    def time(self) -> float:
        return next(self.instants)

    def create_task(self, work: Any) -> Any:
        return self.loop.create_task(work)

    def go_off(self) -> None:
        """Fire the timer of the connection, which rearms it or drops the connection."""
        (timer,) = [timer for timer in self.timers if timer.seconds == connection_protocol.HEADER_SECONDS]
        timer.cancel()
        timer.call()


class FakeTimer:
    def __init__(self, clock: FakeClock, seconds: float, call: Callable[[], None]) -> None:
        self.clock, self.seconds, self.call = clock, seconds, call

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


def connected(scene: Callable[[HttpProtocol, FakeTransport, FakeClock, asyncio.Event], Any]) -> None:
    """Run a test with a connection to an application that responds with five bytes when released."""

    async def play() -> None:
        allowed = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await allowed.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"12345"})

        config = StudioServer(app, asyncio.Event(), 1000).config
        config.load()
        clock, line = FakeClock(asyncio.get_running_loop()), FakeTransport()
        protocol = HttpProtocol(config, ServerState(), {}, clock)  # type: ignore[arg-type]
        protocol.connection_made(line)  # type: ignore[arg-type]
        await scene(protocol, line, clock, allowed)
        allowed.set()
        await settled()
        protocol.connection_lost(None)

    asyncio.run(play())


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_idle_connection_is_closed():
    async def scene(protocol, line, clock, allowed):
        clock.go_off()
        assert line.aborted

    connected(scene)


def test_slow_response_is_not_a_timeout():
    async def scene(protocol, line, clock, allowed):
        protocol.data_received(ASKS)
        for _ in range(50):
            clock.go_off()
            assert not line.aborted

    connected(scene)


def test_slow_reader_gets_the_whole_response():
    """A response is complete for uvicorn once it is in the buffer."""

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


def test_reader_of_nothing_is_dropped_after_the_response():
    async def scene(protocol, line, clock, allowed):
        allowed.set()
        protocol.data_received(ASKS)
        await settled()
        clock.go_off()
        assert not line.aborted
        clock.go_off()
        assert line.aborted

    connected(scene)


def test_reader_of_nothing_is_dropped_during_the_response():
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
def test_longest_idle_connection_makes_room(most):
    async def scene() -> None:
        config = StudioServer(None, asyncio.Event(), 1000).config  # type: ignore[arg-type]
        state, lines, loop = ServerState(), [FakeTransport() for _ in range(most + 1)], asyncio.get_running_loop()
        config.load()
        protocols = [HttpProtocol(config, state, {}, FakeClock(loop), max_connections=most) for _ in lines]
        for protocol, line in zip(protocols, lines, strict=True):
            protocol.connection_made(line)  # type: ignore[arg-type]
        assert [line.aborted for line in lines] == [True] + [False] * most
        for protocol in protocols:
            protocol.connection_lost(None)
        assert not state.connections

    asyncio.run(scene())


@dataclass(eq=False)
class FakeConnection:
    address: str
    began: float = 0.0
    idle_since: float | None = None


def test_address_with_most_connections_makes_room():
    crowd = [FakeConnection("a", number, 10.0 + number) for number in range(5)]
    alone = FakeConnection("b", 0.0, 1.0)  # idle for longer than all of them
    assert connection_to_close(FakeConnection("c"), [*crowd, alone]) is crowd[0]
    assert connection_to_close(FakeConnection("a"), [*crowd, alone]) is crowd[0]
    busy = [FakeConnection("a", number) for number in range(5)]
    assert connection_to_close(FakeConnection("b"), busy) is busy[4], "its latest"
    last = FakeConnection("a")
    assert connection_to_close(last, busy) is last
    assert connection_to_close(last, [*busy, alone]) is last, "it must not push out somebody who has less"
    even = [FakeConnection("a"), FakeConnection("b"), FakeConnection("a"), FakeConnection("b")]
    assert connection_to_close(newcomer := FakeConnection("b"), even) is newcomer


def test_client_key():
    assert client_key("127.0.0.1") == client_key("::ffff:127.0.0.1") == "127.0.0.1"
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff") != client_key("2001:db8:0:1::1")
    assert client_key("testclient") == "testclient"


def test_connections_fit_the_limit_of_open_files(monkeypatch, caplog):
    limits = [256, 256]
    monkeypatch.setattr(connections.resource, "getrlimit", lambda which: tuple(limits))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda which, asked: limits.__setitem__(0, asked[0]))
    assert 64 <= connection_limit() < 256 - connections.RESERVED_FILES
    assert "256" in caplog.text
    caplog.clear()
    limits[1] = 4096
    assert connection_limit() == MAX_CONNECTIONS
    assert 256 < limits[0] < 4096, "raised as far as it is of use"
    assert not caplog.text
    limits[:] = [-1, -1]
    assert connection_limit() == MAX_CONNECTIONS
    for files in range(0, 3000, 10):
        assert 1 <= connections_for(files) <= MAX_CONNECTIONS
