"""Keeps a model process alive: starts it, hears it, and starts it again when it dies."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from videogen.errors import CheckpointError, DataError, NumbersError, ResourceError, UsageError, VideogenError
from videogen.serve.child_process import ChildProcess, describe_exit, environment
from videogen.serve.messages import ChangeStream, LoadFailed, Message, Ready, StartStream

WORKER = "videogen.serve.worker.worker"
LARGEST = 2**30  # bytes of pictures that a latent frame may have
GRACE = 5.0  # seconds for it to leave by itself
LONGEST_WAIT = 30.0  # seconds between attempts to start one
PATIENCE = 1.0  # seconds to find out how one has died, before everybody hears that it has
LOG = logging.getLogger(__name__)
KINDS = (UsageError, DataError, CheckpointError, ResourceError, NumbersError)


@dataclass(frozen=True)
class ModelProcessLauncher:
    """How it is started."""

    model: Path
    device: str | None
    dtype: str | None
    threads: int | None

    async def start(self) -> tuple[ChildProcess, Ready]:
        """Returns when the model is loaded; VideogenError, with the exit code of its kind, if it cannot be."""
        options = {
            "model": str(self.model),
            "device": self.device,
            "dtype": self.dtype,
            "threads": self.threads,
        }
        try:
            child = await ChildProcess.start(WORKER, [json.dumps(options)], environment(self.threads))
        except OSError as error:  # of memory, processes or descriptors there are none left just now
            raise ResourceError(f"{self.model}: its process cannot be started ({error.strerror or error})") from None
        try:
            said = await child.receive(0)
        except (EOFError, ValueError):
            how = describe_exit(await child.end())
            raise ResourceError(f"{self.model}: its process ended while the model was loaded ({how})") from None
        except BaseException:
            await child.end()
            raise
        if isinstance(said, LoadFailed):
            await child.end()
            raise as_error(said)
        assert isinstance(said, Ready), said
        return child, said


class Supervisor:
    """One model process after the other; `on_message` and `on_death` are told, and never wait."""

    def __init__(
        self, how: ModelProcessLauncher, on_message: Callable[[Message], None], on_death: Callable[[str], None]
    ):
        self.how, self.on_message, self.on_death = how, on_message, on_death
        self.child: ChildProcess | None = None  # None while there is none that could work
        self.restarts = 0
        self.failure: str | None = None  # why the last one could not be started
        self.heard = 0.0  # when it last said something, by the loop's clock
        self._task: asyncio.Task[None] | None = None
        self._why = ""  # it was ended by us

    async def start(self) -> Ready:
        """The first one; it is looked after from now on."""
        self.child, ready = await self.how.start()
        self._touch()
        self._task = asyncio.create_task(self._look_after(), name="videogen model process")
        return ready

    async def close(self) -> None:
        """Nothing is left: no process, no task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.child is not None:
            await self.child.end(GRACE)
            self.child = None

    @property
    def alive(self) -> bool:
        """Whether there is a process that can be asked."""
        return self.child is not None and self.supervising

    @property
    def supervising(self) -> bool:
        """Whether it would notice if there were none, and start one."""
        return self._task is not None and not self._task.done()

    def send(self, message: Message) -> None:
        """Without a process to hear it, nothing is said."""
        if self.child is not None:
            self.child.send(message)
            if isinstance(message, StartStream | ChangeStream):
                self._touch()  # it may have been silent for long because there was nothing to do

    def kill(self, why: str) -> None:
        """End a process that does not work any more; the rest follows as if it had died."""
        if self.child is not None:
            self._why = why
            self.child.process.kill()

    async def _look_after(self) -> None:
        while True:
            assert self.child is not None
            await self._hear(self.child)
            child, self.child = self.child, None
            ending = asyncio.ensure_future(child.end())
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ending), PATIENCE)
            how = describe_exit(ending.result()) if ending.done() else "it no longer answers"
            how, self._why = self._why or how, ""
            LOG.error("the model process (%d) has ended: %s; it is being started again", child.process.pid, how)
            self.on_death(how)
            await ending
            await self._start_again()

    async def _hear(self, child: ChildProcess) -> None:
        """Until it has ended; one that says what makes no sense is ended."""
        try:
            while True:
                message = await child.receive(LARGEST)
                self._touch()
                self.on_message(message)
        except EOFError:
            return
        except Exception:
            LOG.exception("the model process is ended for what it has said")
            child.process.kill()

    async def _start_again(self) -> None:
        wait = 0.0
        while self.child is None:
            await asyncio.sleep(wait)
            try:
                self.child, ready = await self.how.start()
            except VideogenError as error:
                self.failure, wait = str(error), min(LONGEST_WAIT, 2 * wait + 1)
                LOG.error("the model process cannot be started again: %s; tried again in %g s", error, wait)
                self.on_death(f"it cannot be started again: {error}")
            else:
                self.failure, self.restarts = None, self.restarts + 1
                LOG.info("the model process (%d) was started again and works", self.child.process.pid)
                self._touch()
                self.on_message(ready)

    def _touch(self) -> None:
        self.heard = asyncio.get_running_loop().time()


def as_error(said: LoadFailed) -> VideogenError:
    """The same error as in the process that met it."""
    kinds: dict[int, type[VideogenError]] = {kind.exit_code: kind for kind in KINDS}
    return kinds.get(said.exit_code, VideogenError)(said.message)
