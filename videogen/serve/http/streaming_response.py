"""Responses of unknown length, which end when the client disconnects or stalls, or the server shuts down.

If the stream fails, the connection is closed without the final chunk, so that HTTP/1.1 clients report an incomplete
response.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second for nginx
STALL_SECONDS = 10.0  # for a client to read one chunk; a slow video viewer is dropped before that


class LiveResponse(Response):
    """Sends chunks from a context manager, which is entered per client and may refuse it."""

    def __init__(
        self,
        chunks: AbstractAsyncContextManager[AsyncIterator[bytes]],
        media_type: str,
        headers: Mapping[str, str],
        closing: asyncio.Event,
        failed: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(None, media_type=media_type, headers={**UNBUFFERED, **headers})
        del self.headers["content-length"]
        self._chunks, self._closing, self._failed = chunks, closing, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._chunks as chunks:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                waits = (
                    send_all(chunks, send),
                    wait_for_disconnect(receive),
                    raise_when_dropped(chunks),
                    self._closing.wait(),
                )
                gone = await first_completed(*waits)
                if gone != "gone" and self._failed():
                    await close_without_end(scope, receive)
                elif gone != "gone":
                    await send_within(send({"type": "http.response.body", "body": b"", "more_body": False}))
            except ReaderStalledError:
                await abort_connection(scope, receive)


class ReaderStalledError(Exception):
    """The client does not read."""


async def send_all(chunks: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in chunks:
        await send_within(send({"type": "http.response.body", "body": chunk, "more_body": True}))
    if dropped_event(chunks).is_set():
        raise ReaderStalledError


def dropped_event(chunks: AsyncIterator[bytes]) -> asyncio.Event:
    """Set when the source drops a client that is blocked in an earlier chunk; some sources never do."""
    lost: asyncio.Event = getattr(chunks, "lost", None) or asyncio.Event()
    return lost


async def raise_when_dropped(chunks: AsyncIterator[bytes]) -> None:
    await dropped_event(chunks).wait()
    raise ReaderStalledError


async def send_within(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await sending
    except TimeoutError:
        raise ReaderStalledError from None


async def wait_for_disconnect(receive: Receive) -> str:
    while (await receive())["type"] != "http.disconnect":
        pass
    return "gone"


async def abort_connection(scope: Scope, receive: Receive) -> None:
    """Close the connection without waiting for the client to read what was sent."""
    abort = scope.get("state", {}).get("abort")
    if abort is not None:
        abort()
        await wait_for_disconnect(receive)


async def close_without_end(scope: Scope, receive: Receive) -> None:
    """Close the connection after all that was sent, but without the end of the response."""
    close = scope.get("state", {}).get("close")
    if close is not None:
        close()
        await wait_for_disconnect(receive)


async def first_completed(*coroutines: Coroutine[Any, Any, Any]) -> Any:
    """The result of the first to complete; the others are cancelled and have ended when this returns."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(task for task in tasks if task in done).result()
