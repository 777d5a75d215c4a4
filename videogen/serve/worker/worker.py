"""The model process: one thread, one model, a latent frame of each stream in turn.

`python -m videogen.serve.worker.worker SOCKET MODEL OPTIONS`; it ends when the web process does, or when it is told to.
"""

import json
import logging
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
from videogen.serve.log import log_on_stderr
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

    from prior.model import LlamaPrior
    from videogen.pipeline import VideoPipeline
    from videogen.serve.worker.active_stream import ActiveStream

GONE = (EOFError, ConnectionError)  # the other end, and with it all reason to go on
MASKS_APART = 0.015  # seconds: nobody sees more of them than that
OUT_OF_MEMORY = "the model's device is out of memory; try again when fewer streams run"


class FrameCancelledError(Exception):
    """The latent frame in the making is not wanted any more."""


class Worker:
    """Listens between latent frames, and between the proposals of one."""

    def __init__(self, wire: MessageSocket, pipe: "VideoPipeline", clock: Callable[[], float] = time.monotonic):
        from videogen.pipeline import VideoPipeline
        from videogen.serve.worker.progress_prior import ProgressPrior

        overheard = cast("LlamaPrior", ProgressPrior(pipe.model.network, self.overhear))
        self.pipe = VideoPipeline(replace(pipe.model, network=overheard), pipe.sampler)
        self.wire, self.clock = wire, clock
        self.frames_per_latent = pipe.model.spec.frames_per_latent
        self.playing: dict[str, ActiveStream] = {}
        self.turns: deque[str] = deque()  # whose turn it is first
        self.at_work: ActiveStream | None = None
        self.last_mask = 0.0

    def run(self) -> None:
        """Until the other end is gone, which is told by one of GONE."""
        while True:
            self.listen(self.idle_for())
            playing = self.next_in_turn()
            if playing is not None:
                self.work(playing)

    def listen(self, seconds: float | None = 0.0) -> None:
        """Obey what has been said, and wait so long for it; None: until something is."""
        while self.wire.waits(seconds):
            self.obey(self.wire.receive())
            seconds = 0.0

    def obey(self, message: Message) -> None:
        if isinstance(message, StartStream):
            from videogen.serve.worker.active_stream import ActiveStream

            self.playing[message.id] = ActiveStream.of(message, self.pipe.fps, self.frames_per_latent, self.clock())
            self.turns.append(message.id)
        elif (
            isinstance(message, ChangeStream | Ack | StopStream)
            and (playing := self.playing.get(message.id)) is not None
        ):
            if isinstance(message, ChangeStream):
                playing.change(message, self.clock())
            elif isinstance(message, Ack):
                playing.taken = message.pictures
            else:
                self.drop(message.id)

    def drop(self, name: str) -> None:
        del self.playing[name]
        self.turns.remove(name)

    def idle_for(self) -> float | None:
        """Seconds until somebody's turn may come; None if that depends on what is said."""
        soonest = min((playing.due(self.frames_per_latent) for playing in self.playing.values()), default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - self.clock())

    def next_in_turn(self) -> "ActiveStream | None":
        now = self.clock()
        for name in list(self.turns):
            if self.playing[name].due(self.frames_per_latent) <= now:
                self.turns.remove(name)
                self.turns.append(name)
                return self.playing[name]
        return None

    def work(self, playing: "ActiveStream") -> None:
        """One latent frame; what goes wrong with it is that stream's end alone."""
        name, self.at_work = playing.begin.id, playing
        try:
            said: Message = playing.go_on(self.pipe, self.clock)
        except FrameCancelledError:
            return
        except GONE:
            raise
        except Exception as error:
            said = StreamEnded(name, reason(error))
        finally:
            self.at_work = None
        self.wire.send(said)
        if playing.finished and not isinstance(said, StreamEnded):
            said = StreamEnded(name)
            self.wire.send(said)
        if isinstance(said, StreamEnded):
            self.drop(name)

    def overhear(self, decided: "Callable[[], Tensor]") -> None:
        """Before each proposal: is the latent frame wanted still, and does anybody want to see it come?"""
        if self.at_work is None:
            return
        playing, name = self.at_work, self.at_work.begin.id
        self.listen()
        if self.playing.get(name) is not playing:
            raise FrameCancelledError
        if playing.masks and self.clock() - self.last_mask >= MASKS_APART:
            tokens = decided().cpu().numpy()
            height, width = self.pipe.model.spec.groups[0].shape
            if len(tokens) == height * width and not tokens.all():  # else it is being remembered, not made
                self.wire.send(MaskUpdate(name, playing.made, height, width, tokens.tobytes()))
                self.last_mask = self.clock()


def reason(error: Exception) -> str:
    """For the client, in one line; what is our own mistake is shown in full where the server was started."""
    if isinstance(error, VideogenError):
        return str(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    logging.getLogger(__name__).error("internal error", exc_info=error)
    return f"internal error ({type(error).__name__})"


def loaded(model: Path, device: str | None, dtype: str | None, threads: int | None) -> "VideoPipeline":
    """The model where it is to compute."""
    from videogen.devices import use_device
    from videogen.pipeline import VideoPipeline
    from videogen.threads import use_threads

    use_threads(threads)
    return VideoPipeline.from_pretrained(model, use_device(device or "cpu"), dtype)


def warmed_up(pipe: "VideoPipeline") -> None:
    """Its first latent frames are thrown away: they are slow ones, and show whether it can make any."""
    for _ in zip(range(1 + 2 * pipe.model.spec.frames_per_latent), pipe.stream("", generator=0), strict=False):
        pass


def main(arguments: list[str]) -> int:
    wire = MessageSocket(socket.socket(fileno=int(arguments[0])))
    options: dict[str, Any] = json.loads(arguments[1])
    with log_on_stderr(), suppress(*GONE):
        try:
            pipe = loaded(Path(options.pop("model")), **options)
            warmed_up(pipe)
        except Exception as error:
            code = error.exit_code if isinstance(error, VideogenError) else 1
            wire.send(LoadFailed(reason(error), code))
            return code
        from videogen.serve.worker.model_description import described

        wire.send(Ready(described(pipe)))
        Worker(wire, pipe).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
