"""Responses that go on while something is made, and end as soon as their reader has gone, stalls, or we close.

What failed on the way has no proper end: the connection is closed where another piece or the last chunk would come, and
every client of HTTP/1.1 reports that as an answer that is not whole.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

AS_IT_COMES = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second is for nginx
STALLED = 10.0  # seconds that a reader may take for one piece; a film says before that when it has been left behind


class Live(Response):
    """Pieces of bytes from a context that is entered for each reader; entering may still refuse it."""

    def __init__(
        self,
        pieces: AbstractAsyncContextManager[AsyncIterator[bytes]],
        media_type: str,
        headers: Mapping[str, str],
        closing: asyncio.Event,
        failed: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(None, media_type=media_type, headers={**AS_IT_COMES, **headers})
        del self.headers["content-length"]
        self._pieces, self._closing, self._failed = pieces, closing, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._pieces as pieces:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                ways = (send_all(pieces, send), gone_away(receive), left_behind(pieces), self._closing.wait())
                gone = await first_of(*ways)
                if gone != "gone" and self._failed():
                    await broken_off(scope, receive)
                elif gone != "gone":
                    await within(send({"type": "http.response.body", "body": b"", "more_body": False}))
            except Stalled:
                await cut_off(scope, receive)


class Stalled(Exception):  # noqa: N818
    """A reader that takes no more."""


async def send_all(pieces: AsyncIterator[bytes], send: Send) -> None:
    async for piece in pieces:
        await within(send({"type": "http.response.body", "body": piece, "more_body": True}))
    if lost_by(pieces).is_set():
        raise Stalled


def lost_by(pieces: AsyncIterator[bytes]) -> asyncio.Event:
    """Set when the pieces go on without their reader, which hangs in taking an earlier one; not all can say so."""
    lost: asyncio.Event = getattr(pieces, "lost", None) or asyncio.Event()
    return lost


async def left_behind(pieces: AsyncIterator[bytes]) -> None:
    await lost_by(pieces).wait()
    raise Stalled


async def within(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(STALLED):
            await sending
    except TimeoutError:
        raise Stalled from None


async def gone_away(receive: Receive) -> str:
    while (await receive())["type"] != "http.disconnect":
        pass
    return "gone"


async def cut_off(scope: Scope, receive: Receive) -> None:
    """Close the connection without waiting until its reader has taken what is on the way."""
    abort = scope.get("state", {}).get("abort")
    if abort is not None:
        abort()
        await gone_away(receive)


async def broken_off(scope: Scope, receive: Receive) -> None:
    """Close the connection after all that was sent, and without the end that an answer has."""
    close = scope.get("state", {}).get("close")
    if close is not None:
        close()
        await gone_away(receive)


async def first_of(*works: Coroutine[Any, Any, Any]) -> Any:
    """What the first to end gives; the others are cancelled, and have ended too when this returns."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(task for task in tasks if task in done).result()
