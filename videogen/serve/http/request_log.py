"""Middleware: an id for every request, and a record in the JSON log when its response has ended.

The record names the route, such as /v1/videos/{id}, but no path, no query and no text of a client.
"""

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videogen.serve.log import REQUEST_ID

HEADER = "X-Request-Id"
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
METHODS = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"}
PROBES = {"/health", "/healthz", "/readyz", "/metrics"}  # machines ask for them all the time: logged if they fail
ENTRY = "videogen.access"  # in the scope of a request: its AccessEntry
LOG = logging.getLogger("videogen.serve.access")


@dataclass(eq=False)
class AccessEntry:
    """What is logged of a request."""

    method: str
    client: str
    route: str = ""  # empty if there is no such path, or the request was refused before
    status: int = 0  # 0: the client left before there was one
    bytes: int = 0  # of the response, without headers
    complete: bool = False
    began: float = field(default_factory=time.perf_counter)

    def note(self, message: Message) -> None:
        """A message of the application to the client."""
        kind = message["type"]
        if kind.endswith("http.response.start"):
            self.status = message["status"]
        elif kind.endswith("http.response.body"):
            self.bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        elif kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.send":
            self.bytes += len(message.get("bytes") or (message.get("text") or "").encode())
        elif kind == "websocket.close":
            self.status, self.complete = self.status or 403, True

    def fields(self) -> dict[str, Any]:
        milliseconds = round(1000 * (time.perf_counter() - self.began), 1)
        names = ("method", "route", "status", "bytes", "complete", "client")
        return {name: getattr(self, name) for name in names} | {"ms": milliseconds}


class RequestLog:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        id = request_id(Headers(scope=scope))
        REQUEST_ID.set(id)  # not reset: the task ends with the request, and uvicorn logs its errors after us
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        entry = AccessEntry(method if method in METHODS | {"WEBSOCKET"} else "OTHER", (scope.get("client") or [""])[0])

        async def send_noted(message: Message) -> None:
            if message["type"].endswith(("http.response.start", "websocket.accept")):
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = id
            entry.note(message)
            await send(message)

        try:
            await self.app({**scope, ENTRY: entry}, receive, send_noted)
        finally:
            if entry.route not in PROBES or entry.status != 200:
                LOG.info("%s %s %d", entry.method, entry.route or "-", entry.status, extra={"fields": entry.fields()})


def request_id(headers: Headers) -> str:
    """That of the client or of a proxy if it is short and plain, else a new one."""
    given = headers.getlist(HEADER)
    return given[0] if len(given) == 1 and VALID_ID.fullmatch(given[0]) else secrets.token_hex(16)


def note_route(scope: Scope, route: str) -> None:
    """To be called by the handler of a route."""
    entry: AccessEntry | None = scope.get(ENTRY)
    if entry is not None:
        entry.route = route
