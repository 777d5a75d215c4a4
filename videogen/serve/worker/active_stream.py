"""A stream inside the model process: made latent frame by latent frame, when its turn comes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import cast

import numpy as np

from videogen.conditioning_frames import ConditioningFrames, condition_on_clip, condition_on_image
from videogen.continuation_prompt import continuation_prompt
from videogen.generate import read_prompt
from videogen.generation_warnings import input_warnings
from videogen.pipeline import VideoPipeline
from videogen.serve.messages import ChangeStream, FrameBatch, StartStream
from videogen.stream import Frame, Transition, VideoStream

FRAMES_AHEAD = 4  # latent frames that may be made before anybody has taken them in


@dataclass
class RateLimiter:
    """A player that shows pictures at `fps` from the moment when it has the first, and waits where it has none."""

    fps: float
    ahead: float  # seconds of video
    began: float | None = None  # when the first picture would have been shown, had the player never waited

    def made(self, before: int, now: float) -> None:
        """Pictures have come at `now`, after `before` others; if the player had run out of them, it has waited."""
        late = now - before / self.fps
        self.began = late if self.began is None else max(self.began, late)

    def due(self, made: int) -> float:
        """When the picture after so many may be begun."""
        return float("-inf") if self.began is None else self.began + made / self.fps - self.ahead


@dataclass(eq=False)
class ActiveStream:
    """What was asked for, how far it is, and who wants to see what."""

    begin: StartStream
    pace: RateLimiter | None
    stream: VideoStream | None = None  # None until its first turn
    made: int = 0  # pictures handed out
    taken: int = 0  # of these, by the other process
    ready: float = 0.0  # the instant from which the next latent frame could be begun, whatever its pace says
    paused: bool = False
    masks: bool = False
    note: str = ""  # about what it was given to begin with
    told: ChangeStream = field(default_factory=lambda: ChangeStream(""))  # what holds from the next latent frame on

    @staticmethod
    def of(begin: StartStream, fps: float, frames_per_latent: int, instant: float) -> "ActiveStream":
        pace = None if begin.ahead is None else RateLimiter(fps, max(begin.ahead, frames_per_latent / fps))
        return ActiveStream(begin, pace, ready=instant, told=ChangeStream(begin.id, begin.prompt, begin.transition))

    def change(self, change: ChangeStream, instant: float) -> None:
        if self.paused and change.paused is False:
            self.ready = instant
        self.paused = self.paused if change.paused is None else change.paused
        self.masks = self.masks if change.masks is None else change.masks
        prompt = self.told.prompt if change.prompt is None else change.prompt
        self.told = ChangeStream(self.begin.id, prompt, change.transition or self.told.transition)

    def due(self, frames_per_latent: int) -> float:
        """When it may go on: an instant of the clock that its pace is told by, or never until something is said."""
        if self.paused or self.made - self.taken >= FRAMES_AHEAD * frames_per_latent:
            return float("inf")
        return float("-inf") if self.pace is None else self.pace.due(self.made)

    @property
    def finished(self) -> bool:
        return self.stream is not None and self.stream.frames == 0

    def go_on(self, pipe: VideoPipeline, clock: Callable[[], float]) -> FrameBatch:
        """The next latent frame; the first one after the preparations that it needs."""
        if self.stream is None:
            self.stream, self.note = begun(pipe, self.begin)
            if self.begin.infer_prompt and not self.told.prompt:
                self.told = replace(self.told, prompt=self.stream.prompt)
        stream, before, first = self.stream, replace(self.stream.stats), self.made
        turned = first == 0 or self.told.prompt != stream.prompt
        stream.prompt = self.told.prompt or ""
        stream.transition = cast(Transition, self.told.transition)
        pictures = together(stream)
        now = clock()
        seconds = now - max(self.ready, self.ready if self.pace is None else self.pace.due(first))
        self.made += len(pictures)
        self.ready = now
        if self.pace is not None:
            self.pace.made(first, now)
        after = stream.stats
        return FrameBatch(
            id=self.begin.id,
            first=first,
            count=len(pictures),
            prompt=stream.prompt,
            turned=turned,
            cut_short=turned and cut_short(pipe, stream.prompt),
            latent_frames=after.latent_frames - before.latent_frames,
            proposals=after.proposals - before.proposals,
            prior=after.prior - before.prior,
            decoder=after.decoder - before.decoder,
            seconds=seconds,
            note=self.note if first == 0 else "",
            payload=np.stack(pictures).tobytes(),
        )


def cut_short(pipe: VideoPipeline, prompt: str) -> bool:
    """Whether the model reads a prompt without its end."""
    conditioner = pipe.model.conditioner
    return conditioner is not None and conditioner.too_long((read_prompt(pipe.model, prompt),)) > 0


def begun(pipe: VideoPipeline, begin: StartStream) -> tuple[VideoStream, str]:
    """Before its first picture, with what it goes on from taken in, and what there is to say of that."""
    given = known(pipe, begin)
    prompt, warnings = continuation_prompt(pipe.model, given) if begin.infer_prompt else (begin.prompt, ())
    request = pipe.request((prompt,), begin.negative_prompt, 1, begin.seed, dict(begin.sampling))
    stream = VideoStream.begin(pipe.model, request, given, begin.frames, cast(Transition, begin.transition))
    return stream, "; ".join(map(str, (*input_warnings(pipe.model, given), *warnings)))


def known(pipe: VideoPipeline, begin: StartStream) -> ConditioningFrames:
    rows, columns = pipe.size(None, None)
    if begin.initial_kind is None:
        return pipe.conditioning(None, None, rows, columns)
    pictures = np.frombuffer(bytearray(begin.payload), np.uint8).reshape(begin.initial_count, rows, columns, 3)
    return (
        condition_on_clip(pipe.model, pictures)
        if begin.initial_kind == "video"
        else condition_on_image(pipe.model, pictures[0])
    )


def together(stream: VideoStream) -> list[Frame]:
    """All pictures of the next latent frame, or the one that the stream was given to begin with."""
    before = stream.stats.frames
    pictures = [next(stream)]
    waiting = stream.stats.frames - before - 1
    return pictures + list(islice(stream, max(0, waiting)))
