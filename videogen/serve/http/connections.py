"""How many connections there may be, and whose ends where there is no room for another one."""

import ipaddress
import logging
import resource
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, TypeVar

MOST = 800  # more than there may be viewers
RESERVED = 64  # files that are no connections: the model's process, uploads and those who read them, libraries
FILES_A_CONNECTION = 4 / 3  # some of them read a film from the disk
BACKLOG = 64  # connections that are taken in at once, before the first of them can be refused
LEAST = 8


class Connection(Protocol):
    """What is known of one, by the loop's clock."""

    address: str
    began: float

    @property
    def idle_since(self) -> float | None:
        """None: it is being answered, or speaks WebSocket."""


Some = TypeVar("Some", bound=Connection)


def most_connections() -> int:
    """As many as this process can open files for; its limit is raised, as far as that is allowed and of use."""
    wanted = RESERVED + BACKLOG + round(MOST * FILES_A_CONNECTION)
    files, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < wanted:
        raised = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, allowed))
        except (OSError, ValueError):  # of some systems the limit that they tell is not the one that they keep
            raised = files
        files = raised
    most = MOST if files == resource.RLIM_INFINITY else fitting(files)
    if most < MOST:
        logging.getLogger(__name__).warning(
            "this process may open %d files (`ulimit -n`): at most %d connections; %d files would do for %d",
            *(files, most, wanted, MOST),
        )
    return most


def fitting(files: int) -> int:
    """Connections of a process that may open so many files."""
    return max(LEAST, min(MOST, int((files - RESERVED - min(BACKLOG, files // 4)) / FILES_A_CONNECTION)))


def one_to_end(newcomer: Some, others: Iterable[Some]) -> Some:
    """Of an address that has the most, the one that has asked for nothing for the longest time.

    Where nobody is idle, an address that has more than the newcomer's loses its latest; else the newcomer itself ends.
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


def share_of(host: str) -> str:
    """Who is counted together: an IPv4 address, or the network of an IPv6 one, of which anybody has 2^64."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))
