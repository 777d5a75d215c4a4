"""A process of ours at the other end of a socket: begun, talked to, and in every case ended.

Neither fork (which copies locks that are held) nor `multiprocessing` (which leaves a process and a descriptor of its
own behind): a new interpreter that runs one module, and finds the number of its socket among its arguments.
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

from videogen.serve.messages import Message, pack, receive

SECRET = "VIDEOGEN_TOKEN"  # no process of ours needs to know it
BUFFER = 2**20  # bytes that are read ahead
OFTEN = 0.01  # seconds between looks at a process that is about to end


@dataclass(eq=False)
class ChildProcess:
    """Our end of it."""

    process: subprocess.Popen[bytes]
    reader: StreamReader
    writer: StreamWriter

    @staticmethod
    async def start(
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        errors: int | None = None,
    ) -> "ChildProcess":
        """Run a module of this package; what it prints goes to `errors`, by default where ours goes."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
                    pass_fds=(theirs.fileno(), *descriptors),
                    stdin=subprocess.DEVNULL,
                    stdout=2 if errors is None else errors,
                    stderr=errors,
                    env=dict(environment),
                    start_new_session=True,  # Ctrl-C is the web process's to answer
                )
            except BaseException:
                ours.close()
                raise
        try:
            return ChildProcess(process, *await asyncio.open_unix_connection(sock=ours, limit=BUFFER))
        except BaseException:
            ours.close()
            process.kill()
            process.wait()
            raise

    def send(self, message: Message) -> None:
        """Say something; to one that is gone, nothing."""
        if not self.writer.is_closing():
            self.writer.write(pack(message))

    async def receive(self, largest: int) -> Message:
        """What it says next; EOFError when it has ended, ValueError if it makes no sense."""
        try:
            return await receive(self.reader, largest)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError from None

    async def end(self, patience: float = 0.0) -> int:
        """Its exit code, or minus a signal's number: it sees that we are gone, and is killed if it stays for long."""
        try:
            self.writer.close()
            with suppress(ConnectionError):
                await self.writer.wait_closed()
            until = asyncio.get_running_loop().time() + patience
            while self.process.poll() is None and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(OFTEN)
        finally:
            self.process.kill()  # nothing happens to one that has ended
        while (code := self.process.poll()) is None:
            await asyncio.sleep(OFTEN)
        return code


def environment(threads: int | None = None) -> dict[str, str]:
    """Ours for a process that finds the same packages, without what is secret."""
    inherited = {name: value for name, value in os.environ.items() if name != SECRET}
    counts = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    return {**inherited, **packages(), **counts}


def packages() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(str(Path(place).absolute()) for place in sys.path)}


def describe_exit(code: int) -> str:
    """For people: "signal SIGKILL", "exit code 1"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
