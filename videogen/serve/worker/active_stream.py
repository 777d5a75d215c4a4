"""A stream inside the model process, made one latent frame at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from videogen.control_plan import ControlPlan
from videogen.generate import read_prompt
from videogen.generation.conditioning_frames import ConditioningFrames, condition_on_clip, condition_on_image
from videogen.generation.continuation_prompt import continuation_prompt
from videogen.generation.generation_warnings import input_warnings
from videogen.pipeline import VideoPipeline
from videogen.serve.messages import ChangeStream, FrameBatch, StartStream
from videogen.serve.requests import Transition
from videogen.stream import Frame, VideoStream

MAX_UNACKED_LATENTS = 4  # latent frames that the web process has not taken in yet


@dataclass
class RateLimiter:
    """How far a stream may run ahead of a player that shows `fps` frames a second and waits when it has none."""

    fps: float
    ahead_seconds: float  # video time
    started: float | None = None  # when the first frame would have been shown if the player had never waited

    def add(self, before: int, now: float) -> None:
        """Frames arrive now, after `before` others; if the player has run out of frames, it has waited."""
        late = now - before / self.fps
        self.started = late if self.started is None else max(self.started, late)

    def due(self, count: int) -> float:
        """When the frame after the first `count` frames may be started."""
        return float("-inf") if self.started is None else self.started + count / self.fps - self.ahead_seconds


@dataclass(frozen=True)
class StreamSettings:
    """What applies from the next latent frame on."""

    prompt: str
    transition: Transition
    control: ControlPlan | None = None  # until the stream has it; None: that of the stream goes on


@dataclass(eq=False)
class ActiveStream:
    """The request, how far it is, and what its viewers want."""

    start: StartStream
    settings: StreamSettings
    limiter: RateLimiter | None  # None: as fast as possible
    stream: VideoStream | None = None  # None until its first turn
    made: int = 0  # frames sent
    acked: int = 0  # frames that the web process has taken in
    ready_at: float = 0.0  # when the next latent frame could have been started, limiter aside
    paused: bool = False
    masks: bool = False
    note: str = field(default="")  # about the initial frames

    @staticmethod
    def open(start: StartStream, fps: float, frames_per_latent: int, now: float) -> "ActiveStream":
        ahead = start.ahead_seconds
        limiter = None if ahead is None else RateLimiter(fps, max(ahead, frames_per_latent / fps))
        settings = StreamSettings(start.params.prompt, start.params.transition)
        return ActiveStream(start, settings, limiter, ready_at=now)

    def change(self, change: ChangeStream, now: float) -> None:
        if self.paused and change.paused is False:
            self.ready_at = now
        self.paused = self.paused if change.paused is None else change.paused
        self.masks = self.masks if change.masks is None else change.masks
        prompt = self.settings.prompt if change.prompt is None else change.prompt
        control = self.settings.control if change.control is None else change.control
        self.settings = StreamSettings(prompt, change.transition or self.settings.transition, control)

    def due(self, frames_per_latent: int) -> float:
        """When the next latent frame may be started; infinity while it waits for a message."""
        if self.paused or self.made - self.acked >= MAX_UNACKED_LATENTS * frames_per_latent:
            return float("inf")
        return float("-inf") if self.limiter is None else self.limiter.due(self.made)

    @property
    def finished(self) -> bool:
        return self.stream is not None and self.stream.frames == 0

    def step(self, pipe: VideoPipeline, clock: Callable[[], float]) -> FrameBatch:
        """Make the next latent frame; the first call prepares the stream."""
        if self.stream is None:
            self.stream, self.note = start_stream(pipe, self.start)
            if self.start.params.infer_prompt and not self.settings.prompt:
                self.settings = replace(self.settings, prompt=self.stream.prompt)
        stream, before, first = self.stream, replace(self.stream.stats), self.made
        new_prompt = first == 0 or self.settings.prompt != stream.prompt
        stream.prompt, stream.transition = self.settings.prompt, self.settings.transition
        if self.settings.control is not None:
            stream.control, self.settings = self.settings.control, replace(self.settings, control=None)
        controls = stream.control
        frames = next_latent_frame(stream)
        now = clock()
        seconds = now - max(self.ready_at, self.ready_at if self.limiter is None else self.limiter.due(first))
        self.made += len(frames)
        self.ready_at = now
        if self.limiter is not None:
            self.limiter.add(first, now)
        after = stream.stats
        made = after.latent_frames - before.latent_frames
        return FrameBatch(
            id=self.start.id,
            first=first,
            count=len(frames),
            prompt=stream.prompt,
            new_prompt=new_prompt,
            truncated=new_prompt and is_truncated(pipe, stream.prompt),
            latent_frames=made,
            steps=after.proposals - before.proposals,
            prior_seconds=after.prior - before.prior,
            decoder_seconds=after.decoder - before.decoder,
            seconds=seconds,
            note=self.note if first == 0 else "",
            control=controls[0] if controls and made else None,
            payload=np.stack(frames).tobytes(),
        )


def is_truncated(pipe: VideoPipeline, prompt: str) -> bool:
    """Whether the prompt is longer than the model reads."""
    conditioner = pipe.model.conditioner
    return conditioner is not None and conditioner.too_long((read_prompt(pipe.model, prompt),)) > 0


def start_stream(pipe: VideoPipeline, start: StartStream) -> tuple[VideoStream, str]:
    """The stream with its initial frames read, and warnings about them."""
    params = start.params
    conditioning = encode_initial_frames(pipe, start)
    prompt, warnings = continuation_prompt(pipe.model, conditioning) if params.infer_prompt else (params.prompt, ())
    sampling = dict(params.sampling)
    request = pipe.request((prompt,), params.negative_prompt, 1, params.seed, sampling, control=params.control)
    stream = VideoStream.begin(pipe.model, request, conditioning, params.frames, params.transition)
    return stream, "; ".join(map(str, (*input_warnings(pipe.model, conditioning), *warnings)))


def encode_initial_frames(pipe: VideoPipeline, start: StartStream) -> ConditioningFrames:
    rows, columns = pipe.size(None, None)
    initial = start.params.initial_frames
    if initial is None:
        return pipe.conditioning(None, None, rows, columns)
    frames = np.frombuffer(bytearray(start.payload), np.uint8).reshape(initial.count, rows, columns, 3)
    if initial.kind == "video":
        return condition_on_clip(pipe.model, frames)
    return condition_on_image(pipe.model, frames[0])


def next_latent_frame(stream: VideoStream) -> list[Frame]:
    """All frames of the next latent frame, or the initial image."""
    before = stream.stats.frames
    frames = [next(stream)]
    waiting = stream.stats.frames - before - 1
    return frames + list(islice(stream, max(0, waiting)))
