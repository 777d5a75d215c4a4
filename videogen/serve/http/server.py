"""uvicorn with our limits, and a shutdown that ends endless responses properly."""

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
from videogen.serve.http.connection_protocol import HttpProtocol, WebSocketProtocol
from videogen.serve.http.connections import BACKLOG, MAX_CONNECTIONS
from videogen.serve.http.tls import TlsFiles

SEND_BUFFER_BYTES = 128 * 1024  # of the socket: small, so that a viewer that stops reading is noticed soon
GRACE_SECONDS = 5.0  # for responses to end by themselves


class StudioServer(Server):
    """Serves until a signal arrives, and keeps that signal for the caller."""

    def __init__(
        self,
        app: ASGIApp,
        closing: asyncio.Event,
        body_bytes: int,
        connection_limit: int = MAX_CONNECTIONS,
        tls: TlsFiles | None = None,
    ) -> None:
        super().__init__(
            Config(
                app,
                http=partial(HttpProtocol, max_connections=connection_limit),  # type: ignore[arg-type]
                ws=WebSocketProtocol,
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
                timeout_graceful_shutdown=1,  # after our own grace period
                ssl_certfile=None if tls is None else tls.certificate,
                ssl_keyfile=None if tls is None else tls.key,
            )
        )
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # invalid forms are errors of clients
        self._closing = closing
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # the second signal
        self.should_exit, self.stopped_by = True, sig

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        responses = len(self.server_state.tasks)
        logging.getLogger(__name__).info("shutting down; open responses: %d", responses)
        self._closing.set()
        await self._wait_idle(0.1)  # streams end with a complete fragment
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._wait_idle(GRACE_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # the rest ends as if the client had disconnected
        await self._wait_idle(GRACE_SECONDS)
        await super().shutdown(sockets)

    async def _wait_idle(self, seconds: float) -> None:
        """Wait until there is no response and no connection, at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.server_state.tasks or self.server_state.connections:
                    await asyncio.sleep(0.01)

    @property
    def interrupted(self) -> bool:
        return self.stopped_by == signal.SIGINT


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; ResourceError if the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ResourceError(
            f"{host}, port {port}: {error.strerror or error}; choose another --port or --host"
        ) from None
    return listener


def url_of(listener: socket.socket, tls: bool = False) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
