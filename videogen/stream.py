"""An endless video: an iterator that generates frames when they are requested, without a thread of its own.

The prompt, the transition and the control may be set at any time; they apply from the next latent frame on.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from videogen.control_plan import ControlPlan, control_rows
from videogen.errors import UsageError
from videogen.generate import (
    Clock,
    GenerationRequest,
    GenerationState,
    clone_state,
    exact_clock,
    new_scene,
    prefill,
    step,
    switch_prompt,
    tail,
)
from videogen.generation.arguments import as_control_plan
from videogen.generation.conditioning_frames import ConditioningFrames
from videogen.generation.stats import GenerationStats
from videogen.models import PriorModel

Frame = NDArray[np.uint8]  # [H, W, 3]
Transition = Literal["recache", "cut"]


class StreamState(NamedTuple):
    """The state of a stream between two frames; `VideoPipeline.restore` can continue it any number of times."""

    request: GenerationRequest
    generation: GenerationState
    waiting: tuple[Frame, ...]  # decoded, but not yet returned
    prompt: str  # of the next latent frame; the request has that of the last one
    transition: Transition
    control: ControlPlan | None = None


@dataclass
class VideoStream:
    """An iterator of frames uint8 [H, W, 3]."""

    model: PriorModel
    request: GenerationRequest
    generation: GenerationState = field(repr=False)
    prompt: str  # may be set; applies from the next latent frame on
    frames: int | None = None  # the frames that remain; None: endless
    transition: Transition = "recache"
    control: Any = None  # may be set, for a model with controls: one, or a list for the next latent frames
    stats: GenerationStats = field(default_factory=GenerationStats)
    clock: Clock = time.perf_counter
    on_prompt: Callable[[str], None] | None = field(default=None, repr=False)  # called with each new prompt
    _prefill_seconds: float = 0.0
    _waiting: deque[Frame] = field(default_factory=deque)
    _closed: bool = False

    @staticmethod
    def begin(
        model: PriorModel,
        request: GenerationRequest,
        given: ConditioningFrames,
        frames: int | None,
        transition: Transition,
    ) -> "VideoStream":
        """Starts a stream; an image to start with is its first frame."""
        began = time.perf_counter()
        state = prefill(model, request, given.context)
        stream = VideoStream(model, request, state, request.prompts[0], frames, transition, clock=exact_clock(model))
        if request.controls:
            stream.control = request.controls[0]
        stream._waiting.extend(given.frames[0].cpu().numpy())
        stream._prefill_seconds = time.perf_counter() - began
        return stream

    def __setattr__(self, name: str, value: Any) -> None:
        """UsageError at once, not some frames later, for an invalid prompt, transition, control or name."""
        if name not in self.__dataclass_fields__:
            raise UsageError(f"a stream has no attribute {name}; set prompt, transition or control")
        if name == "prompt" and not isinstance(value, str):
            raise UsageError(f"prompt is {str(value)[:80]}; give a string")
        if name == "transition" and value not in get_args(Transition):
            raise UsageError(f"transition is {value!r}; expected one of {', '.join(get_args(Transition))}")
        if name == "control" and value is not None:
            value = as_control_plan(self.model, value)  # a copy: a caller may write the next one into the same array
        if name == "prompt" and self.on_prompt is not None and value != self.prompt:
            self.on_prompt(value)
        object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._closed or self.frames == 0:
            raise StopIteration
        while not self._waiting:
            if not self._ends_with_tail():
                self._step()
        self.frames = None if self.frames is None else self.frames - 1
        return self._waiting.popleft()

    def close(self) -> None:
        """Ends the stream and frees its memory."""
        self._closed = True
        self._waiting.clear()
        self.__dict__.pop("generation", None)  # the KV cache is most of a stream's memory

    def state(self) -> StreamState:
        """A copy of the state; the stream itself may continue."""
        if self._closed:
            raise UsageError("the stream is closed, or was interrupted inside a frame; call state() before that")
        state, waiting = clone_state(self.generation), copies(self._waiting)
        return StreamState(self.request, state, waiting, self.prompt, self.transition, self.control)

    @staticmethod
    def restore(model: PriorModel, state: StreamState, frames: int | None = None) -> "VideoStream":
        generation = clone_state(state.generation)
        stream = VideoStream(model, state.request, generation, state.prompt, frames, state.transition, state.control)
        stream.clock = exact_clock(model)
        stream._waiting.extend(copies(state.waiting))
        return stream

    def _step(self) -> None:
        self._closed = True  # until the latent frame is complete: an interrupted one leaves a mutated cache
        if self.prompt != self.request.prompts[0]:
            self._apply_prompt()
        control, plan, config = None, self.control, self.model.config.control
        if plan is not None and config is not None:
            control = control_rows((plan,), 0, config, self.model.device)
            if len(plan) > 1:
                self.control = plan[1:]
        self.generation, output = step(self.model, self.request, self.generation, control, self.clock)
        self._waiting.extend(output.frames[0].cpu().numpy())
        self.stats.add(output)
        if self.stats.first_frame is None:
            self.stats.first_frame = self._prefill_seconds + sum(output.seconds)
        self._closed = False

    def _ends_with_tail(self) -> bool:
        """Gives the frames that the decoder holds back, if the stream ends with them."""
        spec = self.generation.rollout.spec
        if self.frames is None or self.frames > spec.delay * spec.frames_per_latent:
            return False
        held = tail(self.model, self.generation.decoder)
        if held is None or held.shape[1] < self.frames:
            return False
        self._waiting.extend(held[0].cpu().numpy())
        return True

    def _apply_prompt(self) -> None:
        began = self.clock()
        self.request = replace(self.request, prompts=(self.prompt,))
        if self.transition == "recache":
            self.generation = switch_prompt(self.model, self.request, self.generation)
        else:
            held = tail(self.model, self.generation.decoder)  # the old scene's last frames
            self._waiting.extend([] if held is None else held[0].cpu().numpy())
            self.generation = new_scene(self.model, self.request, self.generation)
        self.stats.prior += self.clock() - began


def copies(frames: Iterable[Frame]) -> tuple[Frame, ...]:
    """Copies, because the caller may modify the frames."""
    return tuple(frame.copy() for frame in frames)
