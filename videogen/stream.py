"""A video that never has to end: pictures one by one, each made when it is asked for.

A reader that waits is back-pressure, and a pause; one that leaves is a cancellation: no thread is left behind, for
there was none. The prompt may be changed at any time and counts from the next latent frame on.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from videogen.conditioning_frames import Known
from videogen.errors import UsageError
from videogen.generate import (
    Clock,
    Going,
    Job,
    begin,
    cut_to_new_prompts,
    exact_clock,
    go_on,
    kept,
    under_new_prompts,
)
from videogen.models import PriorModel
from videogen.stats import Figures

Picture = NDArray[np.uint8]  # [H, W, 3]
Transition = Literal["recache", "cut"]


class StreamState(NamedTuple):
    """A stream between two pictures; `VideoPipeline.restore` goes on to the same future, as often as wanted."""

    job: Job
    going: Going
    waiting: tuple[Picture, ...]  # made, but not handed out yet
    prompt: str  # of the next latent frame; the job has that of the last
    transition: Transition


@dataclass
class VideoStream:
    """An iterator of pictures uint8 [H, W, 3]."""

    model: PriorModel
    job: Job
    going: Going = field(repr=False)
    prompt: str  # set it: it counts from the next latent frame on
    frames: int | None = None  # how many pictures are still to come; None: endlessly many
    transition: Transition = "recache"
    figures: Figures = field(default_factory=Figures)
    clock: Clock = time.perf_counter
    on_prompt: Callable[[str], None] | None = field(default=None, repr=False)  # hears of each new prompt
    _beginning: float = 0.0  # seconds before the first latent frame
    _waiting: deque[Picture] = field(default_factory=deque)
    _closed: bool = False

    @staticmethod
    def begin(model: PriorModel, job: Job, known: Known, frames: int | None, transition: Transition) -> "VideoStream":
        """One video; an image that it begins with is its first picture."""
        began = time.perf_counter()
        going = begin(model, job, known.ids_BThw)
        stream = VideoStream(model, job, going, job.prompts[0], frames, transition, clock=exact_clock(model))
        stream._waiting.extend(known.pictures[0].cpu().numpy())
        stream._beginning = time.perf_counter() - began
        return stream

    def __setattr__(self, name: str, value: Any) -> None:
        """What is no prompt, no transition or nothing of a stream at all is refused where it is set, not some pictures
        later."""
        if name not in self.__dataclass_fields__:
            raise UsageError(f"a stream has no {name} to be set; prompt and transition can be, the rest when it begins")
        if name == "prompt" and not isinstance(value, str):
            raise UsageError(f"prompt is {str(value)[:80]}; give a text")
        if name == "transition" and value not in get_args(Transition):
            raise UsageError(f"transition is {value!r}; expected one of {', '.join(get_args(Transition))}")
        if name == "prompt" and self.on_prompt is not None and value != self.prompt:
            self.on_prompt(value)
        object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Picture]:
        return self

    def __next__(self) -> Picture:
        if self._closed or self.frames == 0:
            raise StopIteration
        if not self._waiting:
            self._make()
        self.frames = None if self.frames is None else self.frames - 1
        return self._waiting.popleft()

    def close(self) -> None:
        """No more pictures; nothing is being made, for that happens inside `next` alone."""
        self._closed = True
        self._waiting.clear()
        self.__dict__.pop("going", None)  # the past is most of a stream's memory

    def state(self) -> StreamState:
        """All that the pictures to come depend on; the stream itself may go on."""
        if self._closed:
            raise UsageError("the stream is closed, or was broken off inside a frame; take its state before that")
        return StreamState(self.job, kept(self.going), copies(self._waiting), self.prompt, self.transition)

    @staticmethod
    def restore(model: PriorModel, state: StreamState, frames: int | None = None) -> "VideoStream":
        stream = VideoStream(model, state.job, kept(state.going), state.prompt, frames, state.transition)
        stream.clock = exact_clock(model)
        stream._waiting.extend(copies(state.waiting))
        return stream

    def _make(self) -> None:
        self._closed = True  # until the frame is whole: one that is broken off has used up the past
        if self.prompt != self.job.prompts[0]:
            self._turn_to_prompt()
        self.going, made = go_on(self.model, self.job, self.going, self.clock)
        self._waiting.extend(made.pictures[0].cpu().numpy())
        self.figures.count(made)
        if self.figures.first_picture is None:
            self.figures.first_picture = self._beginning + sum(made.seconds)
        self._closed = False

    def _turn_to_prompt(self) -> None:
        began = self.clock()
        self.job = replace(self.job, prompts=(self.prompt,))
        turn = under_new_prompts if self.transition == "recache" else cut_to_new_prompts
        self.going = turn(self.model, self.job, self.going)
        self.figures.prior += self.clock() - began


def copies(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Who is handed a picture may draw on it."""
    return tuple(picture.copy() for picture in pictures)
