"""A server in a thread, on its own port."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.serve.fake_engine import FakeEngine
from videogen.serve.http.access.security import AccessPolicy, access_policy
from videogen.serve.http.access.trusted_proxies import Networks
from videogen.serve.http.app import make_app
from videogen.serve.http.app_context import AppContext, make_context
from videogen.serve.http.server import StudioServer, bind, url_of
from videogen.serve.http.tls import TlsFiles

ERROR_TYPES = {"invalid_request_error", "not_found", "busy", "server_error"}


class Served:
    """A running server and its parts."""

    def __init__(
        self,
        engine: Any,
        studio: AppContext,
        url: str,
        server: StudioServer,
        loop: asyncio.AbstractEventLoop,
        tls: TlsFiles | None = None,
    ):
        self.engine, self.studio, self.url, self.server, self.loop = engine, studio, url, server, loop
        verify = True if tls is None else ssl.create_default_context(cafile=tls.certificate)
        self.client = httpx.Client(base_url=url, timeout=30, verify=verify)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, path, **options)

    def raw(self, request: bytes) -> bytes:
        """Send raw bytes; returns all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(request)
            return until_it_hangs_up(connection)

    def studio_routes(self) -> list[Any]:
        """The routes of the application behind its middleware."""
        app: Any = self.server.config.app
        while not hasattr(app, "routes"):
            app = app.app
        return list(app.routes)

    def waits_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition; fails after a timeout."""
        until = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < until, "it never came about"
            time.sleep(0.01)

    def call(self, work: Any) -> Any:
        """Run a coroutine in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


@contextmanager
def served(
    folder: Path,
    access: AccessPolicy | None = None,
    engine: Any = None,
    loop: asyncio.AbstractEventLoop | None = None,
    root: str = "",
    proxies: Networks = (),
    tls: TlsFiles | None = None,
) -> Iterator[Served]:
    """A server with a fake engine by default; in a given event loop, or in its own."""
    with nullcontext(loop) if loop is not None else running_loop() as loop:
        engine = engine or FakeEngine(folder)
        listener = bind("127.0.0.1", 0)
        studio = make_context(engine, access or access_policy("127.0.0.1"), root, proxies)
        server = StudioServer(make_app(studio), studio.closing, engine.limits.body_bytes, tls=tls)
        serving = asyncio.run_coroutine_threadsafe(server.serve([listener]), loop)
        there = Served(engine, studio, url_of(listener, tls is not None), server, loop, tls)
        while not server.started and not serving.done():  # until then connections are refused
            time.sleep(0.005)
        try:
            yield there
        finally:
            there.client.close()
            server.should_exit = True
            serving.result(60)


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def until_it_hangs_up(connection: socket.socket) -> bytes:
    """All that comes back; head and body may arrive apart."""
    answer = b""
    with suppress(ConnectionResetError):  # how it hangs up on what it has not read
        while piece := connection.recv(65536):
            answer += piece
    return answer


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response, after checks of its format."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return checked_problem(response.json())


def raw_problem(answer: bytes, status: int) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"application/json" in head
    return checked_problem(json.loads(body))


def checked_problem(body: dict[str, Any]) -> dict[str, Any]:
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] in ERROR_TYPES
    assert error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 300
    return error
