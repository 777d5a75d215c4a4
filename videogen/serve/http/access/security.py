"""Access checks: Host, Origin, and the token if there is one.

Foreign pages can make a browser send requests here, and DNS rebinding can make these look like same-origin requests.
So the Host header must name this server, and Origin must equal Host.
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
from videogen.serve.http.access.login_sessions import LoginSessions
from videogen.serve.http.access.token_throttle import TokenThrottle
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.schema import quote

MIN_TOKEN_LENGTH, MIN_DISTINCT = 16, 6  # characters, and distinct ones; random hex digits have about ten
COOKIE = "videogen_session"
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::[0-9]{1,5})?")
ORIGIN = re.compile(r"https?://(.+)")
PUBLIC_PATHS = (
    "/",
    "/health",
    "/healthz",
    "/readyz",
    "/login",
    "/logout",
)  # and the files of the page, which hold no user data
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class AccessPolicy:
    """The names that a server answers to, and its token."""

    names: frozenset[str]  # host names and addresses, lower case
    any_address: bool = False  # any IP address is fine as Host: it cannot be rebound
    token: str | None = field(default=None, repr=False)
    token_throttle: TokenThrottle = field(default_factory=TokenThrottle, repr=False, compare=False)
    logins: LoginSessions = field(default_factory=LoginSessions, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.token is None:
            return
        if not (len(self.token) >= MIN_TOKEN_LENGTH and self.token.isascii()):
            raise UsageError(
                f"the token must have at least {MIN_TOKEN_LENGTH} ASCII characters; `openssl rand -hex 32` makes one"
            )
        if is_guessable(self.token):
            raise UsageError(
                "the token is easy to guess because it repeats or counts; `openssl rand -hex 32` makes a better one"
            )

    def serves(self, host: str) -> bool:
        """Whether a Host header names this server; the port may be that of a tunnel."""
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        return name in self.names or (self.any_address and is_address(name))

    def accepts_token(self, token: str) -> bool:
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())


def access_policy(host: str, names: Iterable[str] = (), token: str | None = None) -> AccessPolicy:
    """The policy of a server that listens at `host`; UsageError if it is reachable by others and has no token."""
    local = is_loopback(host)
    if not local and token is None:
        raise UsageError(
            f"other machines can reach {host}; give a token of at least {MIN_TOKEN_LENGTH} characters with "
            "--token-file or VIDEOGEN_TOKEN, or use 127.0.0.1"
        )
    own = {"localhost", "127.0.0.1", "::1", host, *names}
    return AccessPolicy(frozenset(name.lower() for name in own), host in ("0.0.0.0", "::"), token)


def is_guessable(token: str) -> bool:
    """Whether it has few distinct characters, repeats a part, or counts up or down."""
    steps = {ord(after) - ord(before) for before, after in pairwise(token)}
    return len(set(token)) < MIN_DISTINCT or len(steps) < MIN_DISTINCT or token in (token + token)[1:-1]


def is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class AccessGuard:
    """Middleware: requests that fail the access checks do not reach the application."""

    def __init__(self, app: ASGIApp, access: AccessPolicy) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        error = check_access(self.access, scope)
        if error is not None and error.code == "token" and "authorization" in Headers(scope=scope):
            await self.access.token_throttle.delay_answer(scope, receive)
        app = self.app if error is None else deny(error, scope)
        await app(scope, receive, send_guarded)


def deny(error: ApiError, scope: Scope) -> ASGIApp:
    if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
        return error.response()
    return Response(status_code=error.status)


def check_access(access: AccessPolicy, scope: Scope) -> ApiError | None:
    """The error for a request that is not allowed; None if it is."""
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not access.serves(host):
        return ApiError(400, host_error(host), code="host")
    if (
        "transfer-encoding" in headers and "content-length" in headers
    ):  # request smuggling: servers could disagree on the end
        return ApiError(
            400, "the request has both Content-Length and Transfer-Encoding; send one of them", code="two_ends"
        )
    if not is_same_origin(headers, host, scope["path"]):
        return ApiError(403, origin_error(headers, host), code="origin")
    if any(name.lower() in ("token", "access_token", "api_key") for name, _ in queries(scope)):
        return ApiError(400, "do not send the token in the URL; send Authorization: Bearer", code="token_in_address")
    if access.token is None or is_public(scope["path"]) or is_authorized(access, headers):
        return None
    return ApiError(
        401,
        "a token is required; send Authorization: Bearer, or log in",
        code="token",
        headers={"WWW-Authenticate": "Bearer"},
    )


def is_same_origin(headers: Headers, host: str, path: str) -> bool:
    """Browsers name the origin of a request; a request without one is from another client, or for a page."""
    origins = headers.getlist("origin")
    if len(origins) > 1:
        return False
    if origins:
        found = ORIGIN.fullmatch(origins[0])
        return found is not None and found[1].lower() == host.lower()
    return is_public(path) or headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def host_error(host: str) -> str:
    found = HOST.fullmatch(host)
    if found is None:
        return "the Host header does not name this server"
    return (
        f"the Host header is {quote(found[1])}, which is not a name of this server; add it with --name if it should be"
    )


def origin_error(headers: Headers, host: str) -> str:
    """Addressed to the operator: the server's own page fails like this behind a proxy that replaces Host."""
    origin = headers.get("origin")
    if origin is None or ORIGIN.fullmatch(origin) is None:
        return "pages of other origins may not use this server"
    return (
        f"a page at {quote(origin)} may not use the server at {quote(host)}; if it is the server's own page, make "
        "the proxy pass on the Host header, and start the server with --name and the host name of the page"
    )


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith("/page/")


def is_authorized(access: AccessPolicy, headers: Headers) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme:
        return scheme.lower() == "bearer" and access.accepts_token(token.strip())
    cookie = login_cookie(headers)
    return cookie is not None and access.logins.is_valid(cookie)


def login_cookie(headers: Headers) -> str | None:
    """The cookie that /login has set, even if other cookies are malformed."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


def queries(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
