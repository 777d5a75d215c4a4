"""A request that is answered before its body has arrived: what still comes is thrown away, for a while, and then cut.

Clients send all before they listen: hung up on in the middle, they would see a broken connection and never the answer.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 5.0  # seconds


class Leftovers:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not announces_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        begun = whole = False

        async def receive_watched() -> Message:
            nonlocal begun, whole
            message = await receive()
            begun, whole = True, not message.get("more_body", False)
            return message

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not whole:
                if begun or Headers(scope=scope).get("expect") is None:  # who still waits to be asked sends nothing
                    await thrown_away(receive_watched)
                if not whole:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive_watched, send_after_body)


def announces_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def thrown_away(receive: Receive) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        pass
