"""Delays after wrong tokens, longer each time, and warnings in the log.

The right token is never delayed: others at the same address, perhaps behind one proxy, cannot lock a client out.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.types import Receive, Scope

from videogen.serve.http.connections import client_key

FORGET_SECONDS = 600.0  # seconds after the last wrong token from an address
MAX_ADDRESSES = 10_000


@dataclass(eq=False)
class TokenThrottle:
    first: float = 0.25  # seconds of delay after the first wrong token; doubles each time
    longest: float = 10.0
    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, tuple[int, float]] = field(default_factory=dict)  # address: how many, and the time of the last

    async def delay_answer(self, scope: Scope, receive: Receive) -> None:
        """Wait after a wrong token, but no longer than the client stays connected."""
        address = client_key(scope["client"][0]) if scope.get("client") else ""
        seconds = self.record_failure(address)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (await receive())["type"].endswith(".disconnect"):
                    pass

    def record_failure(self, address: str) -> float:
        """Count a wrong token from an address; returns the delay in seconds."""
        now = self.clock()
        count, last = self._wrong.pop(address, (0, now))
        count = 1 if now - last > FORGET_SECONDS else count + 1
        self._wrong[address] = count, now
        if len(self._wrong) > MAX_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        seconds = min(self.longest, self.first * 2.0 ** min(count - 1, 60))
        if is_power_of_ten(count):
            logging.getLogger(__name__).warning(
                "%d wrong tokens from %s; delaying answers by %g s", count, address or "an unknown address", seconds
            )
        return seconds


def is_power_of_ten(count: int) -> bool:
    """Whether to log this count: thousands of wrong tokens make a few lines."""
    return str(count).strip("0") == "1"
