"""uvicorn's protocols with clear errors for invalid HTTP, and timeouts for clients that send or read nothing."""

import asyncio
import json
import logging
import re
import secrets
from typing import Any

import h11
from starlette.datastructures import Headers
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from videogen.serve.http.access.security import SECURITY_HEADERS
from videogen.serve.http.connections import MAX_CONNECTIONS, client_key, connection_to_close
from videogen.serve.http.errors import ApiError
from videogen.serve.http.request_log import HEADER

HEADER_SECONDS = 15.0  # for a request to arrive, or for more of a response to be read
HEADER_BYTES = 32 * 2**10
KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # of a WebSocket handshake: 16 bytes
NOT_HTTP = ApiError(400, "the request is not valid HTTP", code="not_http")
TOO_LONG = ApiError(431, f"the path and the headers have more than {HEADER_BYTES} bytes", code="headers_too_large")


class BoundedH11Connection(h11.Connection):
    """Limits the size of headers that arrive at once; h11 limits only headers that are incomplete."""

    too_long = False

    def next_event(self) -> Any:
        try:
            event = super().next_event()
            if isinstance(event, h11.Request | h11.EndOfMessage) and header_size(event) > HEADER_BYTES:
                raise h11.RemoteProtocolError("headers too long", error_status_hint=431)
        except h11.RemoteProtocolError as error:
            self.too_long = error.error_status_hint == 431
            raise
        return event


def header_size(event: h11.Request | h11.EndOfMessage) -> int:
    """Bytes of a request line with headers, or of trailers."""
    first_line = len(event.method) + len(event.target) + 12 if isinstance(event, h11.Request) else 0
    return first_line + sum(len(name) + len(value) + 4 for name, value in event.headers.raw_items())


class HttpProtocol(H11Protocol):
    """A connection of at most `max_connections`."""

    _unsent = -1  # unsent bytes at the last check; -1: some were sent since

    def __init__(self, *arguments: Any, max_connections: int = MAX_CONNECTIONS, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn: BoundedH11Connection = BoundedH11Connection(h11.SERVER, HEADER_BYTES)
        self.max_connections, self.address, self.began = max_connections, "", self.loop.time()
        self._answered = self.began  # when the last response ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # For streaming responses: `abort` drops a client that does not read, where `close` would wait for it; `close`
        # in the middle of a response shows the client that it is incomplete.
        self.app_state = {**self.app_state, "abort": transport.abort, "close": transport.close}
        self._timeout = self.loop.call_later(HEADER_SECONDS, self._on_timeout)
        self.address = client_address(transport)
        if len(self.connections) > self.max_connections:
            self._make_room()

    def _make_room(self) -> None:
        others = [other for other in self.connections if isinstance(other, HttpProtocol | WebSocketProtocol)]
        closed = connection_to_close(self, [other for other in others if other is not self])
        self.connections.discard(closed)
        closed.transport.abort()
        logging.getLogger(__name__).warning(
            "more than %d connections: closing one from %s for one from %s",
            self.max_connections,
            closed.address,
            self.address,
        )

    @property
    def idle_since(self) -> float | None:
        return self._answered if self.cycle is None or self.cycle.response_complete else None

    def on_response_complete(self) -> None:
        self._timeout.cancel()
        self._timeout = self.loop.call_later(HEADER_SECONDS, self._on_timeout)
        self._answered = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._unsent = -1
        super().resume_writing()

    def _on_timeout(self) -> None:
        """Abort if the client sends no request or reads nothing; a slow response, or slow reading, is fine."""
        unsent = self.transport.get_write_buffer_size()
        generating = unsent == 0 and self.cycle is not None and not self.cycle.response_complete
        if generating or unsent not in (0, self._unsent):
            self._unsent = unsent
            self._timeout = self.loop.call_later(HEADER_SECONDS, self._on_timeout)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timeout.cancel()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        return is_valid_handshake(self.scope["method"], self.headers) and super()._should_upgrade()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._timeout.cancel()
        super().handle_websocket_upgrade(event)
        if not getattr(self.transport.get_protocol(), "handshake_initiated", False):  # its headers were too long
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of a response
            return
        error, reason = (
            (TOO_LONG, "Request Header Fields Too Large") if self.conn.too_long else (NOT_HTTP, "Bad Request")
        )
        body = json.dumps(error.body()).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        headers[HEADER] = secrets.token_hex(16)
        response = h11.Response(
            status_code=error.status, headers=list({**headers, **SECURITY_HEADERS}.items()), reason=reason
        )
        for part in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection after the upgrade to WebSocket."""

    idle_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.address, self.began = client_address(transport), self.loop.time()


def client_address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return client_key(peer[0]) if isinstance(peer, tuple) else ""


def is_valid_handshake(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether an upgrade request is complete; one with a body is invalid."""
    found = Headers(raw=headers)
    keys, versions = found.getlist("sec-websocket-key"), found.getlist("sec-websocket-version")
    whole = len(keys) == 1 and KEY.fullmatch(keys[0]) is not None and versions == ["13"]
    return whole and method == "GET" and "content-length" not in found and "transfer-encoding" not in found
