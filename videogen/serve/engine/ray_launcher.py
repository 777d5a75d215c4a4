"""Model processes as Ray actors, on any machine of a cluster.

An actor runs the same worker as a process of this machine, and carries the same messages over a connection that it
opens to this process and proves with a secret. Ray places it, starts it and kills it.
"""

import asyncio
import hmac
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videogen.errors import ResourceError, UsageError
from videogen.executors.ray_cluster import cluster
from videogen.serve.child_process import LOST, READ_AHEAD_BYTES, ChildProcess
from videogen.serve.engine.launcher import receive_ready, worker_options
from videogen.serve.messages import Ready
from videogen.serve.worker.ray_actor import ModelActor, prepare

SECRET_BYTES, PID_BYTES = 32, 4  # what an actor sends first
GREETING_SECONDS = 5.0  # for them to arrive
PLACE_SECONDS = 120.0  # for the cluster to start an actor
POLL_SECONDS = 0.1  # between looks at an actor that is being started
DEATH_SECONDS = 2.0  # for Ray to report the end of an actor that was killed


@contextmanager
def ray_launchers(
    model: Path, device: str, dtype: str | None, threads: int | None, count: int, address: str | None
) -> Iterator[list["RayLauncher"]]:
    """One for each replica, while there is a connection to the cluster."""
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: Ray chooses the GPU of each process; say --device cuda")
    if (place := address or os.environ.get("RAY_ADDRESS", "")).startswith("ray://"):
        raise UsageError(f"--address {place}: run the server on a machine of the cluster, with --address auto")
    with cluster(address, count * (threads or 1), logs=True):
        yield count * [RayLauncher(model, device, dtype, threads)]


class ActorProcess:
    """An actor, in the way of a process: `kill` and `poll`."""

    def __init__(self, options: Mapping[str, Any], place: Mapping[str, float], address: tuple[str, int], secret: bytes):
        import ray

        self.pid = "not placed yet"
        self._actor = ray.remote(max_restarts=0, **place)(ModelActor).remote()
        self._work = self._actor.run.remote(address, secret, dict(options))
        self._killed_at: float | None = None

    def poll(self) -> int | None:
        """Its exit code, or LOST; None while it runs."""
        import ray

        if ray.wait([self._work], timeout=0)[0]:
            try:
                return int(ray.get(self._work))
            except ray.exceptions.RayError:
                return LOST
        killed = self._killed_at is not None and time.monotonic() - self._killed_at > DEATH_SECONDS
        return LOST if killed else None

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)
        self._killed_at = self._killed_at or time.monotonic()


@dataclass(frozen=True)
class RayLauncher:
    """An actor of the connected cluster; the model must be at the same path on all machines."""

    model: Path
    device: str
    dtype: str | None
    threads: int | None  # by default 1; so many CPUs are reserved

    async def start(self) -> tuple[ChildProcess, Ready]:
        """Returns when the model is loaded; VideogenError of the right kind if it cannot be."""
        import ray

        threads, secret = self.threads or 1, secrets.token_bytes(SECRET_BYTES)
        place = {"num_cpus": threads, "num_gpus": int(self.device == "cuda")}
        options = worker_options(self.model.absolute(), self.device, self.dtype, threads)
        with socket.create_server((ray.util.get_node_ip_address(), 0)) as listener:
            listener.setblocking(False)
            process = ActorProcess(options, place, listener.getsockname()[:2], secret)
            try:
                async with asyncio.timeout(PLACE_SECONDS):
                    connection = await self._accept(listener, secret, process)
                child = ChildProcess(process, *await asyncio.open_connection(sock=connection, limit=READ_AHEAD_BYTES))
            except TimeoutError:
                process.kill()
                wanted = " and ".join(f"{count} {name.removeprefix('num_')}" for name, count in place.items() if count)
                raise ResourceError(f"the Ray cluster has had no room for a model process ({wanted})") from None
            except BaseException:
                process.kill()
                raise
        return child, await receive_ready(child, self.model)

    async def _accept(self, listener: socket.socket, secret: bytes, process: ActorProcess) -> socket.socket:
        """The connection of the actor; all others are closed."""
        greeting = asyncio.create_task(receive_greeting(listener, secret))
        try:
            while not greeting.done():
                if process.poll() is not None:
                    raise ResourceError(f"{self.model}: its Ray actor ended before it was connected")
                await asyncio.wait([greeting], timeout=POLL_SECONDS)
        finally:
            greeting.cancel()
        connection, pid = greeting.result()
        process.pid = f"{pid} at {connection.getpeername()[0]}"
        prepare(connection)
        return connection


async def receive_greeting(listener: socket.socket, secret: bytes) -> tuple[socket.socket, int]:
    """The connection that knows the secret, and the number of its process."""
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        greeting = b""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                while len(greeting) < SECRET_BYTES + PID_BYTES:
                    part = await loop.sock_recv(connection, SECRET_BYTES + PID_BYTES - len(greeting))
                    if not part:
                        break
                    greeting += part
        except (OSError, TimeoutError):
            pass
        except BaseException:
            connection.close()
            raise
        if hmac.compare_digest(greeting[:SECRET_BYTES], secret):
            return connection, int.from_bytes(greeting[SECRET_BYTES:], "big")
        connection.close()
