"""Wrong tokens: each is answered later than the one before it, and the operator hears of them.

Who shows the right token never waits: others at the same address, behind a proxy perhaps, cannot lock it out.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.types import Receive, Scope

from videogen.serve.http.connections import share_of

FORGOTTEN = 600.0  # seconds after the last wrong token from an address
MOST_ADDRESSES = 10_000


@dataclass(eq=False)
class Guesses:
    first: float = 0.25  # seconds before the answer to the first wrong token; then twice as many each time
    longest: float = 10.0
    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, tuple[int, float]] = field(default_factory=dict)  # of an address: how many, and when the last was

    async def answer_later(self, scope: Scope, receive: Receive) -> None:
        """After a wrong token: wait, as long as the client does."""
        address = share_of(scope["client"][0]) if scope.get("client") else ""
        seconds = self.note(address)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (await receive())["type"].endswith(".disconnect"):
                    pass

    def note(self, address: str) -> float:
        """Seconds that the answer to one more wrong token from there has to wait."""
        now = self.clock()
        count, last = self._wrong.pop(address, (0, now))
        count = 1 if now - last > FORGOTTEN else count + 1
        self._wrong[address] = count, now
        if len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        seconds = min(self.longest, self.first * 2.0 ** min(count - 1, 60))
        if is_round(count):
            logging.getLogger(__name__).warning(
                "%d wrong tokens from %s; answers to them wait %g s", count, address or "somebody", seconds
            )
        return seconds


def is_round(count: int) -> bool:
    """1, 10, 100 and so on: thousands of guesses are a few lines."""
    return str(count).strip("0") == "1"
