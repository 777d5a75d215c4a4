"""Starts the model process, passes its messages on, and starts it again when it dies."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from videogen.errors import VideogenError
from videogen.serve.child_process import ChildProcess, describe_exit
from videogen.serve.engine.launcher import Launcher
from videogen.serve.messages import ChangeStream, Message, Ready, StartStream

MAX_PAYLOAD_BYTES = 2**30  # frames of one message
SHUTDOWN_GRACE_SECONDS = 5.0
MAX_RESTART_DELAY = 30.0  # seconds between attempts
EXIT_WAIT_SECONDS = 1.0  # for the exit code of a process that no longer answers, before its streams fail
LOG = logging.getLogger(__name__)


class Supervisor:
    """Keeps one model process running. `on_message` and `on_death` must not block; `name` is for the log."""

    def __init__(
        self,
        launcher: Launcher,
        on_message: Callable[[Message], None],
        on_death: Callable[[str], None],
        name: str = "the model process",
    ):
        self.launcher, self.on_message, self.on_death, self.name = launcher, on_message, on_death, name
        self.child: ChildProcess | None = None  # None while there is no usable process
        self.restarts = 0
        self.failure: str | None = None  # why the last start failed
        self.last_message_at = 0.0  # by the loop's clock
        self._task: asyncio.Task[None] | None = None
        self._kill_reason = ""
        self._planned = False  # the operator wants its end

    async def start(self) -> Ready:
        """Start the first process, and supervise it from then on."""
        self.child, ready = await self.launcher.start()
        self._touch()
        self._task = asyncio.create_task(self._supervise(), name="videogen model process")
        return ready

    async def close(self) -> None:
        """Leave no process and no task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.child is not None:
            await self.child.stop(SHUTDOWN_GRACE_SECONDS)
            self.child = None

    @property
    def alive(self) -> bool:
        """Whether there is a process that can work."""
        return self.child is not None and self.supervising

    @property
    def supervising(self) -> bool:
        """Whether a process that dies will be replaced."""
        return self._task is not None and not self._task.done()

    def send(self, message: Message) -> None:
        """Does nothing without a process."""
        if self.child is not None:
            self.child.send(message)
            if isinstance(message, StartStream | ChangeStream):
                self._touch()  # it may have been silent because it had nothing to do

    def kill(self, reason: str) -> None:
        """End the process; the rest is as if it had died."""
        if self.child is not None:
            self._kill_reason = reason
            self.child.process.kill()

    def restart(self) -> None:
        """End the process and start the next; does nothing if that goes on already."""
        self._planned = self.child is not None
        self.kill("as the operator asked")

    async def _supervise(self) -> None:
        while True:
            assert self.child is not None
            await self._receive_messages(self.child)
            child, self.child = self.child, None
            stopping = asyncio.ensure_future(child.stop())
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(stopping), EXIT_WAIT_SECONDS)
            exit_line = describe_exit(stopping.result()) if stopping.done() else "it no longer answers"
            reason, self._kill_reason = self._kill_reason or exit_line, ""
            level, self._planned = logging.INFO if self._planned else logging.ERROR, False
            LOG.log(level, "%s (%s) has ended: %s; it is being started again", self.name, child.process.pid, reason)
            self.on_death(reason)
            await stopping
            await self._restart()

    async def _receive_messages(self, child: ChildProcess) -> None:
        """Returns when the process has ended; one that sends an invalid message is killed."""
        try:
            while True:
                message = await child.receive(MAX_PAYLOAD_BYTES)
                self._touch()
                self.on_message(message)
        except EOFError:
            return
        except Exception:
            LOG.exception("%s is killed because of its message", self.name)
            child.process.kill()

    async def _restart(self) -> None:
        delay = 0.0
        while self.child is None:
            await asyncio.sleep(delay)
            try:
                self.child, ready = await self.launcher.start()
            except VideogenError as error:
                self.failure, delay = str(error), min(MAX_RESTART_DELAY, 2 * delay + 1)
                LOG.error("%s cannot be started again: %s; next attempt in %g s", self.name, error, delay)
                self.on_death(f"it cannot be started again: {error}")
            else:
                self.failure, self.restarts = None, self.restarts + 1
                LOG.info("%s (%s) was started again and works", self.name, self.child.process.pid)
                self._touch()
                self.on_message(ready)

    def _touch(self) -> None:
        self.last_message_at = asyncio.get_running_loop().time()
