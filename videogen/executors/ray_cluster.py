"""Start a Ray cluster on this machine, or join one."""

import os
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from videogen.errors import ResourceError, UsageError

MISSING = "--engine ray needs Ray; `pip install -e '.[cluster]'` in the checkout adds it"
TOKEN = Path("~/.ray/auth_token").expanduser()
CONNECT_SECONDS = 20.0
OBJECT_STORE = 256 * 2**20  # bytes: tasks and results are small, and Ray would take a third of the memory


@contextmanager
def cluster(address: str | None, cpus: int, logs: bool = False) -> Iterator[Any]:
    """The module `ray`, connected until the block ends.

    Without an address, to $RAY_ADDRESS; without that, to a cluster of this machine with so many `cpus`, which ends with
    the block. With `logs`, what its processes write to stderr appears here.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        _use_token()
    try:
        import ray
    except ImportError:
        raise UsageError(MISSING) from None
    if ray.is_initialized() and address is None:  # a program that uses Ray itself
        yield ray
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address, cpus, logs)
        _restore(handler)
        yield ray
    finally:
        ray.shutdown()


def _use_token() -> None:
    """Newer clusters ask for a token; it is sent only if that is said before Ray is imported."""
    named = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if "ray" not in sys.modules and (named or TOKEN.is_file()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _connect(ray: Any, address: str | None, cpus: int, logs: bool) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is not None:
        check_reachable(address)
    own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    settings = {"address": "local", **own} if address is None else {"address": address}
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it all
            ray.init(**settings, log_to_driver=logs, logging_level="ERROR")
    except Exception as error:  # a slow start is a bare one
        reason = " ".join(str(error).split())[:200]
        if address is None:
            raise ResourceError(f"Ray did not start on this machine ({reason})") from None
        raise UsageError(f"--address {address}: cannot join it ({reason})") from None


def check_reachable(address: str) -> None:
    """UsageError if nobody listens at HOST:PORT: Ray would try for minutes, and print each time."""
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not host or not port.isdecimal():  # `auto`, or a port that Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--address {address}: no Ray cluster answers there ({reason})") from None


def _restore(handler: Any) -> None:
    """Ray takes SIGTERM for itself, and would leave without closing what is open."""
    if signal.getsignal(signal.SIGTERM) is not handler:
        signal.signal(signal.SIGTERM, handler)
