"""Who may ask: the names we answer to, the pages that may speak for a browser, and the token, where there is one.

A page of somebody else's can make a browser send requests here, and a name that suddenly resolves to 127.0.0.1 can
make it believe that they are its own. So the Host header must name us, and Origin must be the same as Host.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videogen.errors import UsageError
from videogen.serve.http.access.guesses import Guesses
from videogen.serve.http.access.login_sessions import LoginSessions
from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.fields import shown

SHORTEST_TOKEN, FEWEST = 16, 6  # characters, and different ones; random hex digits have ten
COOKIE = "videogen_session"
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::[0-9]{1,5})?")
ORIGIN = re.compile(r"https?://(.+)")
OPEN_TO_ALL = ("/", "/healthz", "/readyz", "/login", "/logout")  # and the page's files, which hold nothing of anybody's
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
ON_EVERY_ANSWER = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Access:
    """What a server answers to."""

    names: frozenset[str]  # host names and addresses, lower case
    any_address: bool = False  # as long as it is an address: nobody can make one point elsewhere
    token: str | None = field(default=None, repr=False)
    guesses: Guesses = field(default_factory=Guesses, repr=False, compare=False)
    logins: LoginSessions = field(default_factory=LoginSessions, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.token is None:
            return
        if not (len(self.token) >= SHORTEST_TOKEN and self.token.isascii()):
            raise UsageError(f"the token must be at least {SHORTEST_TOKEN} characters of ASCII; `openssl rand -hex 32`")
        if is_simple(self.token):
            raise UsageError(
                "the token is easy to guess: it repeats or counts; `openssl rand -hex 32` makes a better one"
            )

    def serves(self, host: str) -> bool:
        """Whether a Host header names us. Its port may be another one: a tunnel's."""
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        return name in self.names or (self.any_address and is_address(name))

    def knows(self, token: str) -> bool:
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())


def access_to(host: str, names: Iterable[str] = (), token: str | None = None) -> Access:
    """Of a server that listens at an address. UsageError where others could reach it and need no token."""
    local = is_loopback(host)
    if not local and token is None:
        raise UsageError(
            f"others can reach {host}; give a token of at least {SHORTEST_TOKEN} characters in a --token-file or in "
            "VIDEOGEN_TOKEN, or stay with 127.0.0.1"
        )
    own = {"localhost", "127.0.0.1", "::1", host, *names}
    return Access(frozenset(name.lower() for name in own), host in ("0.0.0.0", "::"), token)


def is_simple(token: str) -> bool:
    """Whether it is few characters, one piece again and again, or characters in the order of the alphabet."""
    steps = {ord(after) - ord(before) for before, after in pairwise(token)}
    return len(set(token)) < FEWEST or len(steps) < FEWEST or token in (token + token)[1:-1]


def is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """Stands before the application: whoever may not ask does not reach it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(ON_EVERY_ANSWER)
            await send(message)

        problem = refusal(self.access, scope)
        if problem is not None and problem.code == "token" and "authorization" in Headers(scope=scope):
            await self.access.guesses.answer_later(scope, receive)
        app = self.app if problem is None else refused(problem, scope)
        await app(scope, receive, send_guarded)


def refused(problem: Problem, scope: Scope) -> ASGIApp:
    if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
        return problem.response()
    return Response(status_code=problem.status)


def refusal(access: Access, scope: Scope) -> Problem | None:
    """Why this may not be asked; None: it may."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not access.serves(host):
        return Problem(400, wrong_host(host), code="host")
    if "transfer-encoding" in headers and "content-length" in headers:  # two ends: another server could see another one
        return Problem(400, "a body has one end; send Content-Length or Transfer-Encoding", code="two_ends")
    if not same_origin(headers, host, scope["path"]):
        return Problem(403, wrong_origin(headers, host), code="origin")
    if any(name.lower() in ("token", "access_token", "api_key") for name, _ in queries(scope)):
        return Problem(
            400, "a token does not belong into an address; send Authorization: Bearer", code="token_in_address"
        )
    if access.token is None or open_to_all(scope["path"]) or authorised(access, headers):
        return None
    return Problem(
        401,
        "a token is needed; send Authorization: Bearer, or log in",
        code="token",
        headers={"WWW-Authenticate": "Bearer"},
    )


def same_origin(headers: Headers, host: str, path: str) -> bool:
    """Browsers say where a request comes from; who says nothing is no browser, or asks for a page."""
    origins = headers.getlist("origin")
    if len(origins) > 1:
        return False
    if origins:
        found = ORIGIN.fullmatch(origins[0])
        return found is not None and found[1].lower() == host.lower()
    return open_to_all(path) or headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def wrong_host(host: str) -> str:
    found = HOST.fullmatch(host)
    if found is None:
        return "this server does not go by the name in the Host header"
    return f"this server does not go by the name {shown(found[1])}; start it with --name and that name if it should"


def wrong_origin(headers: Headers, host: str) -> str:
    """For whoever runs the server: the page of the server itself meets this behind a proxy that replaces the Host."""
    origin = headers.get("origin")
    if origin is None or ORIGIN.fullmatch(origin) is None:
        return "a page of another origin may not ask this server"
    return (
        f"a page at {shown(origin)} may not ask the server at {shown(host)}; if that page is this server's own, let "
        "the proxy pass the Host header on, and start the server with --name and the page's host name"
    )


def open_to_all(path: str) -> bool:
    return path in OPEN_TO_ALL or path.startswith("/page/")


def authorised(access: Access, headers: Headers) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme:
        return scheme.lower() == "bearer" and access.knows(token.strip())
    cookie = login_cookie(headers)
    return cookie is not None and access.logins.holds(cookie)


def login_cookie(headers: Headers) -> str | None:
    """The one that `/login` has set, whatever else the host's cookies look like."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


def queries(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
