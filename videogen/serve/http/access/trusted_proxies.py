"""Middleware: the client and the scheme of a request that came through a proxy.

Anybody can send X-Forwarded-For. So it counts from a trusted proxy alone, and of its addresses the last one that is
not a trusted proxy itself: those before it are what the client sent.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from videogen.errors import UsageError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks: TypeAlias = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?")
WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")
SECURE = {"http": "https", "ws": "wss"}


@dataclass(frozen=True)
class Hop:
    """What one proxy says of the request that it got; None if it says nothing."""

    client: str | None = None
    scheme: str | None = None


def trusted_networks(given: Iterable[str]) -> Networks:
    """UsageError for what is neither an address nor a network."""
    try:
        return [ipaddress.ip_network(each.strip()) for each in given]
    except ValueError as error:
        raise UsageError(f"--trusted-proxy: {error}; give an address or a network such as 10.0.0.0/8") from None


class ForwardedMiddleware:
    def __init__(self, app: ASGIApp, trusted: Networks) -> None:
        self.app, self.trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = address_of(scope["client"][0]) if scope.get("client") else None
        if peer is not None and is_trusted(peer, self.trusted):
            scope = {**scope, **forwarded(Headers(scope=scope), scope["scheme"], self.trusted)}
        await self.app(scope, receive, send)


def forwarded(headers: Headers, scheme: str, trusted: Networks) -> dict[str, Any]:
    """What the headers change in the scope of a request.

    A proxy sets X-Forwarded-* or Forwarded and may pass the other on as the client sent it: if they name different
    clients, neither counts.
    """
    found = [client_hop(hops, trusted) for hops in (x_forwarded(headers), forwarded_elements(headers)) if hops]
    if not found or any(hop.client != found[0].client for hop in found):
        return {}
    client, secure = found[0].client, all(hop.scheme in ("https", "wss") for hop in found)
    changed: dict[str, Any] = {} if client is None else {"client": (client, 0)}
    return {**changed, "scheme": SECURE.get(scheme, scheme) if secure else scheme}


def client_hop(hops: Sequence[Hop], trusted: Networks) -> Hop:
    """That of the proxy which the client reached, as far as trusted proxies and valid addresses lead to it."""
    found = Hop(None, hops[-1].scheme)
    for hop in reversed(hops):
        address = None if hop.client is None else address_of(hop.client)
        if address is None:
            break
        found = Hop(str(address), hop.scheme)
        if not is_trusted(address, trusted):
            break
    return found


def x_forwarded(headers: Headers) -> list[Hop]:
    clients, schemes = values(headers, "x-forwarded-for"), values(headers, "x-forwarded-proto")
    if len(schemes) == 1:
        schemes *= max(1, len(clients))  # most proxies send one, and pass it on
    hops = [Hop(*pair) for pair in zip_longest(reversed(clients), reversed(schemes))]
    return hops[::-1]


def forwarded_elements(headers: Headers) -> list[Hop]:
    """RFC 7239. A comma always ends an element, so that a quote of the client cannot hide what a proxy added."""
    elements = [parameters(each) for each in values(headers, "forwarded")]
    return [Hop(each.get("for"), each.get("proto")) for each in elements]


def parameters(element: str) -> dict[str, str]:
    split = [each.partition("=") for each in element.split(";")]
    return {name.strip(): value.strip().strip('"') for name, _, value in split}


def values(headers: Headers, name: str) -> list[str]:
    return [each.strip() for line in headers.getlist(name) for each in line.lower().split(",")]


def address_of(text: str) -> Address | None:
    """An address, perhaps with a port; None for what is none, such as "unknown"."""
    found = BRACKETED.fullmatch(text) or WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address(found[1] if found else text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


def is_trusted(address: Address, trusted: Networks) -> bool:
    return any(address in network for network in trusted)
