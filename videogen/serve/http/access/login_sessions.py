"""Who has logged in: a random name for each login, known to the browser's cookie, and forgotten at logout."""

import hashlib
import secrets
import time

SECONDS = 12 * 3600  # that a login holds
MOST = 10_000  # logins at once; beyond that the oldest one ends


class LoginSessions:
    """In memory: when the server ends, every login ends. Only digests are held, so that nothing here opens a door."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # in the order in which they began, which is that in which they end

    def begin(self) -> str:
        """The value of a new cookie."""
        self._expire()
        while len(self._until) >= MOST:
            del self._until[next(iter(self._until))]
        cookie = secrets.token_hex(32)
        self._until[digest(cookie)] = time.time() + SECONDS
        return cookie

    def holds(self, cookie: str) -> bool:
        """Whether this login has begun, and has not ended."""
        return self._until.get(digest(cookie), 0.0) > time.time()

    def end(self, cookie: str) -> None:
        """From now on the cookie opens nothing, wherever a copy of it may be."""
        self._until.pop(digest(cookie), None)

    def _expire(self) -> None:
        now = time.time()
        while self._until and self._until[first := next(iter(self._until))] <= now:
            del self._until[first]


def digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
