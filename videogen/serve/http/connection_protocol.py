"""One connection: uvicorn's protocols, with clear errors for broken HTTP, and an end for who sends or reads nothing."""

import asyncio
import json
import logging
import re
from typing import Any

import h11
from starlette.datastructures import Headers
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from videogen.serve.http.access.security import ON_EVERY_ANSWER
from videogen.serve.http.connections import MOST, one_to_end, share_of
from videogen.serve.http.errors import Problem

HEADER_SECONDS = 15.0  # until a connection has asked for something, or asked again; or read more of its answer
HEADER_BYTES = 32 * 2**10
KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # of a WebSocket handshake: 16 bytes
BROKEN = Problem(400, "this is not HTTP, or not all of it can be read", code="not_http")
TOO_LONG = Problem(431, f"the address and the headers have more than {HEADER_BYTES} bytes", code="headers_too_large")


class Reader(h11.Connection):
    """h11 counts the bytes of headers only while some are missing; here they count however they arrive."""

    too_long = False

    def next_event(self) -> Any:
        try:
            event = super().next_event()
            if isinstance(event, h11.Request | h11.EndOfMessage) and size_of(event) > HEADER_BYTES:
                raise h11.RemoteProtocolError("headers too long", error_status_hint=431)
        except h11.RemoteProtocolError as error:
            self.too_long = error.error_status_hint == 431
            raise
        return event


def size_of(event: h11.Request | h11.EndOfMessage) -> int:
    """Bytes of a request before its body, or after it."""
    first_line = len(event.method) + len(event.target) + 12 if isinstance(event, h11.Request) else 0
    return first_line + sum(len(name) + len(value) + 4 for name, value in event.headers.raw_items())


class Protocol(H11Protocol):
    """One connection; of `most` at once."""

    _left = -1  # bytes that its reader had not taken when we last looked; -1: it has taken some since

    def __init__(self, *arguments: Any, most: int = MOST, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn: Reader = Reader(h11.SERVER, HEADER_BYTES)
        self.most, self.address, self.began = most, "", self.loop.time()
        self._answered = self.began  # when it was last done with a request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # An application can cut a connection whose reader takes nothing; closing would wait for that reader. And it
        # can close one in the middle of an answer, so that whoever reads it sees that something is missing.
        self.app_state = {**self.app_state, "abort": transport.abort, "close": transport.close}
        self._impatience = self.loop.call_later(HEADER_SECONDS, self._give_up)
        self.address = address_behind(transport)
        if len(self.connections) > self.most:
            self._make_room()

    def _make_room(self) -> None:
        others = [other for other in self.connections if isinstance(other, Protocol | SocketProtocol)]
        one = one_to_end(self, [other for other in others if other is not self])
        self.connections.discard(one)
        one.transport.abort()
        logging.getLogger(__name__).warning(
            "more than %d connections: one from %s is ended, for one from %s", self.most, one.address, self.address
        )

    @property
    def idle_since(self) -> float | None:
        return self._answered if self.cycle is None or self.cycle.response_complete else None

    def on_response_complete(self) -> None:
        self._impatience.cancel()
        self._impatience = self.loop.call_later(HEADER_SECONDS, self._give_up)
        self._answered = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._left = -1
        super().resume_writing()

    def _give_up(self) -> None:
        """Only on who asks for nothing, or reads nothing: an answer may be long in the making, and be read slowly."""
        left = self.transport.get_write_buffer_size()
        in_the_making = left == 0 and self.cycle is not None and not self.cycle.response_complete
        if in_the_making or left not in (0, self._left):
            self._left = left
            self._impatience = self.loop.call_later(HEADER_SECONDS, self._give_up)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._impatience.cancel()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        return is_handshake(self.scope["method"], self.headers) and super()._should_upgrade()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._impatience.cancel()
        super().handle_websocket_upgrade(event)
        if not getattr(self.transport.get_protocol(), "handshake_initiated", False):  # its headers were too long for it
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of an answer there is no way to say anything
            return
        problem, reason = (
            (TOO_LONG, "Request Header Fields Too Large") if self.conn.too_long else (BROKEN, "Bad Request")
        )
        body = json.dumps(problem.body()).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        answer = h11.Response(
            status_code=problem.status, headers=list({**headers, **ON_EVERY_ANSWER}.items()), reason=reason
        )
        for part in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()


class SocketProtocol(WebSocketsSansIOProtocol):
    """The same connection, once it speaks WebSocket."""

    idle_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.address, self.began = address_behind(transport), self.loop.time()


def address_behind(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return share_of(peer[0]) if isinstance(peer, tuple) else ""


def is_handshake(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request that wants to be a WebSocket is all that such a request must be; one with a body is not."""
    found = Headers(raw=headers)
    keys, versions = found.getlist("sec-websocket-key"), found.getlist("sec-websocket-version")
    whole = len(keys) == 1 and KEY.fullmatch(keys[0]) is not None and versions == ["13"]
    return whole and method == "GET" and "content-length" not in found and "transfer-encoding" not in found
