"""Middleware that reads and discards the rest of a body that was answered early, for a limited time.

Clients send the complete body before they read: if the server closed at once, they would never see the answer.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAIN_SECONDS = 5.0


class BodyDrain:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        started = complete = False

        async def receive_watched() -> Message:
            nonlocal started, complete
            message = await receive()
            started, complete = True, not message.get("more_body", False)
            return message

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not complete:
                # A client that waits for 100 Continue sends nothing.
                if started or Headers(scope=scope).get("expect") is None:
                    await drain(receive_watched)
                if not complete:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive_watched, send_after_body)


def has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def drain(receive: Receive) -> None:
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        pass
