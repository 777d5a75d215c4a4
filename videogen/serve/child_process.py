"""A child process at the other end of a socket.

It is a new interpreter that runs one module and finds the number of its socket in its arguments. fork would copy locked
locks, and `multiprocessing` would leave a process and a descriptor of its own behind.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from videogen.serve.messages import Message, pack, receive

SECRET = "VIDEOGEN_TOKEN"  # no child process gets it
READ_AHEAD_BYTES = 2**20
LOST = 256  # instead of the exit code of a process whose end alone is known
POLL_SECONDS = 0.01  # between checks of a process that is about to end


class Process(Protocol):
    """A process of this machine, or of another one."""

    @property
    def pid(self) -> Any:
        """Its name in the log."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def kill(self) -> None:
        """Has no effect on a process that has ended."""


@dataclass(eq=False)
class ChildProcess:
    """The parent's end of the socket."""

    process: Process
    reader: StreamReader
    writer: StreamWriter

    @staticmethod
    async def start(
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        output: int | None = None,
    ) -> "ChildProcess":
        """Run a module; what it prints goes to `output`, by default to our stderr."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
                    pass_fds=(theirs.fileno(), *descriptors),
                    stdin=subprocess.DEVNULL,
                    stdout=2 if output is None else output,
                    stderr=output,
                    env=dict(environment),
                    start_new_session=True,  # Ctrl-C reaches the web process alone
                )
            except BaseException:
                ours.close()
                raise
        try:
            return ChildProcess(process, *await asyncio.open_unix_connection(sock=ours, limit=READ_AHEAD_BYTES))
        except BaseException:
            ours.close()
            process.kill()
            process.wait()
            raise

    def send(self, message: Message) -> None:
        """Does nothing if the process is gone."""
        if not self.writer.is_closing():
            self.writer.write(pack(message))

    async def receive(self, max_payload: int) -> Message:
        """EOFError when the process has ended, ValueError for what is not a message."""
        try:
            return await receive(self.reader, max_payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError from None

    async def stop(self, grace_seconds: float = 0.0) -> int:
        """Close the socket, and kill the process if it has not ended after the grace period. Returns the exit code."""
        try:
            self.writer.close()
            with suppress(ConnectionError):
                await self.writer.wait_closed()
            until = asyncio.get_running_loop().time() + grace_seconds
            while self.process.poll() is None and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self.process.kill()  # has no effect on a process that has ended
        while (code := self.process.poll()) is None:
            await asyncio.sleep(POLL_SECONDS)
        return code


def child_environment(threads: int | None = None) -> dict[str, str]:
    """Our environment without the secret, for a child that finds the same packages."""
    inherited = {name: value for name, value in os.environ.items() if name != SECRET}
    counts = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    return {**inherited, **python_path(), **counts}


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(str(Path(place).absolute()) for place in sys.path)}


def describe_exit(code: int) -> str:
    """An exit code in words: "signal SIGKILL", "exit code 1"."""
    if code == LOST:
        return "it is gone"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
