"""The model process: one thread and one model, which makes one latent frame of each stream in turn.

`python -m videogen.serve.worker.worker SOCKET OPTIONS`; it ends when the web process closes the socket.
"""

import json
import logging
import math
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from videogen.errors import VideogenError, is_out_of_memory
from videogen.serve.log import log_on_stderr, request_scope
from videogen.serve.messages import (
    Ack,
    ChangeStream,
    LoadFailed,
    MaskUpdate,
    Message,
    MessageSocket,
    Ready,
    StartStream,
    StopStream,
    StreamEnded,
)

if TYPE_CHECKING:
    from torch import Tensor

    from interfaces.tokens import TokenSpec
    from prior.network import PriorNetwork
    from videogen.pipeline import VideoPipeline
    from videogen.serve.worker.active_stream import ActiveStream

DISCONNECTED = (EOFError, ConnectionError)
MASK_INTERVAL = 0.015  # seconds between mask updates; viewers see no more of them
OUT_OF_MEMORY = "the model's device is out of memory; try again when fewer streams run"


class FrameCancelledError(Exception):
    """The latent frame in the making is no longer wanted."""


class Worker:
    """Reads messages between latent frames, and between the forward passes of one."""

    def __init__(self, connection: MessageSocket, pipe: "VideoPipeline", clock: Callable[[], float] = time.monotonic):
        from videogen.pipeline import VideoPipeline
        from videogen.serve.worker.progress_prior import ProgressPrior

        prior = cast("PriorNetwork", ProgressPrior(pipe.model.network, self.on_proposal))
        self.pipe = VideoPipeline(replace(pipe.model, network=prior), pipe.sampler)
        self.connection, self.clock = connection, clock
        self.frames_per_latent = pipe.model.spec.frames_per_latent
        self.streams: dict[str, ActiveStream] = {}
        self.order: deque[str] = deque()  # the stream whose turn is next comes first
        self.current: ActiveStream | None = None
        self.last_mask = 0.0

    def run(self) -> None:
        """Runs until it raises one of DISCONNECTED."""
        while True:
            self.read_messages(self.idle_seconds())
            active = self.next_stream()
            if active is not None:
                self.step(active)

    def read_messages(self, seconds: float | None = 0.0) -> None:
        """Handle the messages that have arrived; wait this long for the first one, or without end for None."""
        while self.connection.poll(seconds):
            self.handle(self.connection.receive())
            seconds = 0.0

    def handle(self, message: Message) -> None:
        if isinstance(message, StartStream):
            from videogen.serve.worker.active_stream import ActiveStream

            self.streams[message.id] = ActiveStream.open(message, self.pipe.fps, self.frames_per_latent, self.clock())
            self.order.append(message.id)
        elif isinstance(message, ChangeStream | Ack | StopStream) and message.id in self.streams:
            active = self.streams[message.id]
            if isinstance(message, ChangeStream):
                active.change(message, self.clock())
            elif isinstance(message, Ack):
                active.acked = message.frames
            else:
                self.remove(message.id)

    def remove(self, id: str) -> None:
        del self.streams[id]
        self.order.remove(id)

    def idle_seconds(self) -> float | None:
        """Time until a stream is due; None if that depends on a message."""
        soonest = min((active.due(self.frames_per_latent) for active in self.streams.values()), default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - self.clock())

    def next_stream(self) -> "ActiveStream | None":
        now = self.clock()
        for id in list(self.order):
            if self.streams[id].due(self.frames_per_latent) <= now:
                self.order.remove(id)
                self.order.append(id)
                return self.streams[id]
        return None

    def step(self, active: "ActiveStream") -> None:
        """Make one latent frame; an error ends this stream alone."""
        id, self.current = active.start.id, active
        try:
            message: Message = active.step(self.pipe, self.clock)
        except FrameCancelledError:
            return
        except DISCONNECTED:
            raise
        except Exception as error:
            with request_scope(active.start.request_id):
                message = StreamEnded(id, error_line(error))
        finally:
            self.current = None
        self.connection.send(message)
        if active.finished and not isinstance(message, StreamEnded):
            message = StreamEnded(id)
            self.connection.send(message)
        if isinstance(message, StreamEnded):
            self.remove(id)

    def on_proposal(self, decided: "Callable[[], Tensor]") -> None:
        """Before each forward pass: cancel the latent frame if its stream has ended, and send masks to its viewers."""
        if self.current is None:
            return
        active, id = self.current, self.current.start.id
        self.read_messages()
        if self.streams.get(id) is not active:
            raise FrameCancelledError
        if active.masks and self.clock() - self.last_mask >= MASK_INTERVAL:
            tokens, spec = decided().cpu().numpy(), self.pipe.model.spec
            if len(tokens) == spec.tokens and not tokens.all():  # else this pass writes the past
                rows, columns = mask_shape(spec)
                mask = tokens[-rows * columns :].tobytes()
                self.connection.send(MaskUpdate(id, active.made, rows, columns, mask))
                self.last_mask = self.clock()


def mask_shape(spec: "TokenSpec") -> tuple[int, int]:
    """Rows and columns of the last group of tokens, the finest one; a line is one row."""
    shape = spec.groups[-1].shape
    return (shape[0], shape[1]) if len(shape) == 2 else (1, math.prod(shape))


def error_line(error: Exception) -> str:
    """One line for the client; the traceback of an internal error goes to the log."""
    if isinstance(error, VideogenError):
        return str(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    logging.getLogger(__name__).error("internal error", exc_info=error)
    return f"internal error ({type(error).__name__})"


def load_pipeline(model: Path, device: str | None, dtype: str | None, threads: int | None) -> "VideoPipeline":
    from videogen.pipeline import VideoPipeline
    from videogen.system.devices import use_device
    from videogen.system.threads import use_threads

    use_threads(threads)
    return VideoPipeline.from_pretrained(model, use_device(device or "cpu"), dtype)


def warm_up(pipe: "VideoPipeline") -> None:
    """Make a few frames: the first ones are slow, and show whether the model works."""
    for _ in zip(range(1 + 2 * pipe.model.spec.frames_per_latent), pipe.stream("", generator=0), strict=False):
        pass


def serve_model(connection: MessageSocket, options: dict[str, Any]) -> int:
    """Load a model, and work until the connection ends; returns the exit code."""
    with log_on_stderr(), suppress(*DISCONNECTED):
        try:
            pipe = load_pipeline(Path(options.pop("model")), **options)
            warm_up(pipe)
        except Exception as error:
            code = error.exit_code if isinstance(error, VideogenError) else 1
            connection.send(LoadFailed(error_line(error), code))
            return code
        from videogen.serve.worker.model_description import describe_model

        connection.send(Ready(describe_model(pipe)))
        Worker(connection, pipe).run()
    return 0


def main(arguments: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGUSR1):  # for the server alone, which some systems do not single out
        signal.signal(number, signal.SIG_IGN)
    connection = MessageSocket(socket.socket(fileno=int(arguments[0])))
    return serve_model(connection, json.loads(arguments[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
