"""The limit of connections, and which connection is closed for a new one at the limit."""

import ipaddress
import logging
import resource
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, TypeVar

MAX_CONNECTIONS = 800  # more than the limit of viewers
RESERVED_FILES = 64  # files other than connections: the model process, uploads and their readers, libraries
FILES_PER_CONNECTION = 4 / 3  # some of them read a video from disk
BACKLOG = 64  # connections that the system accepts before the first can be refused
MIN_CONNECTIONS = 8


class Connection(Protocol):
    """Times are those of the event loop."""

    address: str
    began: float

    @property
    def idle_since(self) -> float | None:
        """None while a response is sent, and for WebSockets."""


ConnectionT = TypeVar("ConnectionT", bound=Connection)


def connection_limit() -> int:
    """The connections that fit the limit of open files, which is raised as far as useful and allowed."""
    wanted = RESERVED_FILES + BACKLOG + round(MAX_CONNECTIONS * FILES_PER_CONNECTION)
    files, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < wanted:
        raised = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, allowed))
        except (OSError, ValueError):  # some systems report a limit that they do not grant
            raised = files
        files = raised
    most = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else connections_for(files)
    if most < MAX_CONNECTIONS:
        logging.getLogger(__name__).warning(
            "the limit of open files is %d (`ulimit -n`): at most %d connections; %d files are needed for %d",
            *(files, most, wanted, MAX_CONNECTIONS),
        )
    return most


def connections_for(files: int) -> int:
    """The connections that fit a limit of open files."""
    return max(
        MIN_CONNECTIONS,
        min(MAX_CONNECTIONS, int((files - RESERVED_FILES - min(BACKLOG, files // 4)) / FILES_PER_CONNECTION)),
    )


def connection_to_close(newcomer: ConnectionT, others: Iterable[ConnectionT]) -> ConnectionT:
    """The connection to close: the longest idle one of the address with the most connections.

    If none is idle, an address that has more connections than the newcomer's loses its latest; else the newcomer is
    closed itself.
    """
    others = list(others)
    held = Counter(one.address for one in others)
    idle = [one for one in others if one.idle_since is not None]
    if idle:
        found = max(idle, key=lambda one: (held[one.address], -(one.idle_since or 0.0)))
        return found if held[found.address] >= held[newcomer.address] else newcomer
    address, count = held.most_common(1)[0]
    if count <= held[newcomer.address] + 1:
        return newcomer
    return max((one for one in others if one.address == address), key=lambda one: one.began)


def client_key(host: str) -> str:
    """What a client is counted by: its IPv4 address, or its IPv6 network, since one client has 2^64 addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))
