"""uvicorn, told what it does not do by itself: its limits, and streams that end before the server does."""

import asyncio
import logging
import signal
import socket
from contextlib import suppress
from functools import partial
from types import FrameType

from starlette.types import ASGIApp
from uvicorn import Config, Server

from videogen.errors import ResourceError
from videogen.serve.http.connection_protocol import Protocol, SocketProtocol
from videogen.serve.http.connections import BACKLOG, MOST

SENT_AHEAD = 128 * 1024  # bytes that the system keeps for a viewer who does not read: no more, so that stalling shows
GRACE_SECONDS = 5.0  # for what can end by itself


class StudioServer(Server):
    """Serves until a signal says otherwise, which is kept for whoever started it."""

    def __init__(self, app: ASGIApp, closing: asyncio.Event, body_bytes: int, most_connections: int = MOST) -> None:
        super().__init__(
            Config(
                app,
                http=partial(Protocol, most=most_connections),  # type: ignore[arg-type]
                ws=SocketProtocol,
                backlog=BACKLOG,
                ws_max_size=body_bytes,
                ws_max_queue=8,
                ws_per_message_deflate=False,
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,  # after our own
            )
        )
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # broken forms are their senders' affair
        self._closing = closing
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # asked twice
        self.should_exit, self.stopped_by = True, sig

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        answers = len(self.server_state.tasks)
        logging.getLogger(__name__).info("going down; answers that are still being given: %d", answers)
        self._closing.set()
        await self._settled(0.1)  # streams end with a last whole piece
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._settled(GRACE_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # who still hangs on; their answers end as if they had left
        await self._settled(GRACE_SECONDS)
        await super().shutdown(sockets)

    async def _settled(self, seconds: float) -> None:
        """Until nothing is being answered any more, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.server_state.tasks or self.server_state.connections:
                    await asyncio.sleep(0.01)

    @property
    def interrupted(self) -> bool:
        return self.stopped_by == signal.SIGINT


def bound(host: str, port: int) -> socket.socket:
    """A socket that will listen there; ResourceError where that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ResourceError(
            f"{host}, port {port}: {error.strerror or error}; choose another --port or --host"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
