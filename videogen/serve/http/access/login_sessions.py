"""Logins of browsers: a random cookie for each, valid until logout or expiry."""

import hashlib
import secrets
import time

LOGIN_SECONDS = 12 * 3600  # until a login expires
MAX_LOGINS = 10_000  # then the oldest one ends


class LoginSessions:
    """In memory, so all logins end with the server. Stores only digests, which are useless as cookies."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # digest: time of expiry, in ascending order

    def begin(self) -> str:
        """The value of a new cookie."""
        self._expire()
        while len(self._until) >= MAX_LOGINS:
            del self._until[next(iter(self._until))]
        cookie = secrets.token_hex(32)
        self._until[digest(cookie)] = time.time() + LOGIN_SECONDS
        return cookie

    def is_valid(self, cookie: str) -> bool:
        """Whether a cookie belongs to a login that has not ended."""
        return self._until.get(digest(cookie), 0.0) > time.time()

    def end(self, cookie: str) -> None:
        """Invalidate a cookie and all its copies."""
        self._until.pop(digest(cookie), None)

    def _expire(self) -> None:
        now = time.time()
        while self._until and self._until[first := next(iter(self._until))] <= now:
            del self._until[first]


def digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
