"""A video that never has to end: pictures one by one, each made when it is asked for.

A reader that waits is back-pressure, and a pause; one that leaves is a cancellation: no thread is left behind, for
there was none. The prompt may be changed at any time and counts from the next latent frame on.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from videogen.generate import Going, Job, Made, begin, cut_to_new_prompts, device_of, go_on, kept, under_new_prompts
from videogen.models import PriorModel

Picture = NDArray[np.uint8]  # [H, W, 3]
Transition = Literal["recache", "cut"]


@dataclass
class Figures:
    """What a stream has cost so far; seconds are those of the clock."""

    pictures: int = 0
    latent_frames: int = 0
    proposals: int = 0
    first_picture: float | None = None  # seconds from the first question to the first picture
    making: float = 0.0  # seconds of prior, sampler and decoder
    decoding: float = 0.0  # seconds of the decoder alone, where that is measured

    @property
    def pictures_per_second(self) -> float:
        return self.pictures / self.making if self.making else 0.0

    @property
    def steps(self) -> float:
        """Proposals a latent frame, in the mean."""
        return self.proposals / self.latent_frames if self.latent_frames else 0.0


class StreamState(NamedTuple):
    """A stream between two pictures; `VideoPipeline.restore` goes on to the same future, as often as wanted."""

    job: Job
    going: Going
    waiting: tuple[Picture, ...]  # made, but not handed out yet
    prompt: str
    pending: bool  # whether the prompt has been changed since the last latent frame
    transition: Transition


@dataclass
class VideoStream:
    """An iterator of pictures uint8 [H, W, 3]."""

    model: PriorModel
    job: Job
    going: Going
    frames: int | None = None  # how many pictures are still to come; None: endlessly many
    transition: Transition = "recache"
    figures: Figures = field(default_factory=Figures)
    _waiting: deque[Picture] = field(default_factory=deque)
    _prompt: str = ""
    _pending: bool = False
    _closed: bool = False

    @staticmethod
    def begin(model: PriorModel, job: Job, known: torch.Tensor | None, **settings: int | None) -> "VideoStream":
        return VideoStream(model, job, begin(model, job, known), _prompt=job.prompts[0], **settings)  # type: ignore[arg-type]

    @property
    def prompt(self) -> str:
        return self._prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        self._pending = self._pending or prompt != self._prompt
        self._prompt = prompt

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
        """No more pictures; what was being made is done, for making happens inside `next` alone."""
        self._closed = True
        self._waiting.clear()

    def state(self) -> StreamState:
        going = kept(self.going)
        return StreamState(self.job, going, tuple(self._waiting), self._prompt, self._pending, self.transition)

    @staticmethod
    def restore(model: PriorModel, state: StreamState, frames: int | None = None) -> "VideoStream":
        stream = VideoStream(model, state.job, kept(state.going), frames, state.transition)
        stream._waiting, stream._prompt, stream._pending = deque(state.waiting), state.prompt, state.pending
        return stream

    def _make(self) -> None:
        began = time.perf_counter()
        if self._pending:
            self._turn_to_prompt()
        self.going, made = go_on(self.model, self.job, self.going)
        pictures = made.pictures.cpu().numpy()[0]
        self._waiting.extend(pictures)
        self._count(made, len(pictures), time.perf_counter() - began)

    def _turn_to_prompt(self) -> None:
        self.job = replace(self.job, prompts=(self._prompt,))
        turn = under_new_prompts if self.transition == "recache" else cut_to_new_prompts
        self.going, self._pending = turn(self.model, self.job, self.going), False

    def _count(self, made: Made, pictures: int, seconds: float) -> None:
        figures = self.figures
        figures.first_picture = seconds if figures.first_picture is None else figures.first_picture
        figures.pictures, figures.latent_frames = figures.pictures + pictures, figures.latent_frames + 1
        figures.proposals += int(made.steps_B.sum())
        figures.making += seconds


def peak_memory_mb(model: PriorModel) -> float:
    """Of this process so far, or of the GPU that the model is on."""
    device = device_of(model)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
