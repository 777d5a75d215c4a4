"""A stream as its clients know it, from the params to the end."""

import asyncio
import logging
import math
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from videogen.errors import VideogenError
from videogen.serve.engine import events
from videogen.serve.engine.broadcast import Broadcast
from videogen.serve.engine.engine_context import EngineContext, now
from videogen.serve.engine.events import Mark
from videogen.serve.engine.fanout import PreviewEvent, Viewer
from videogen.serve.engine.usage import StreamUsage
from videogen.serve.engine.validation import check_text, check_transition, sampling_overrides
from videogen.serve.errors import NotFoundError
from videogen.serve.media.film import ClipBuffer
from videogen.serve.messages import (
    Ack,
    ChangeStream,
    FrameBatch,
    MaskUpdate,
    Message,
    StartStream,
    StopStream,
    StreamEnded,
)
from videogen.serve.requests import GenerationParams, Transition

StreamStatus = Literal["queued", "playing", "paused", "stopped", "failed"]
Ending = Literal["stopped", "failed"]


class Stream:
    """A video while it is made, and for a while after that."""

    def __init__(
        self,
        shared: EngineContext,
        params: GenerationParams,
        seed: int,
        frames: int,
        live: bool = True,
        owner: str = "",
    ):
        self.id, self.owner = secrets.token_hex(16), owner
        self.shared, self.params, self.seed, self.frames, self.live = shared, params, seed, frames, live
        self.prompt, self.transition = params.prompt, params.transition
        self.created_at, self._created = time.time(), now()
        self.marks: list[Mark] = []
        self.error: str | None = None
        self.queue_position: int | None = None  # 1 is next; None where it does not wait
        self.given = False  # the model's turns
        self.given_since = 0.0  # by the loop's clock
        self.begun = False  # the model process knows it
        self.held_since: float | None = None  # paused by a person
        self.unwatched_since: float | None = self._created
        self.idle = False  # paused for want of viewers
        self.ended: Ending | None = None
        self.ended_at = math.inf  # by the loop's clock
        self.whole = False  # all pictures that it was to have are made
        self.on_whole: Callable[[], Awaitable[None]] | None = None  # before such a stream ends
        self._turn_told: PreviewEvent | None = None
        self._account = StreamUsage(shared.tally, shared.info.fps)
        self.show = Broadcast(shared, self._room(), self._attended, expected=live)
        self._inbox: asyncio.Queue[FrameBatch | StreamEnded | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._take_in(), name=f"videogen stream {self.id[:8]}")

    def _room(self) -> ClipBuffer:
        limits = self.shared.limits
        if not self.live:
            return ClipBuffer(self.frames, sys.maxsize)
        return ClipBuffer(max(1, round(limits.recent_seconds * self.shared.info.fps)), limits.recent_bytes)

    # what can be known of it

    @property
    def wants_work(self) -> bool:
        return self.ended is None and self.held_since is None and not self.idle

    @property
    def due(self) -> bool:
        """Whether the model ought to be at work on it."""
        return self.begun and self.given and not self.whole

    @property
    def status(self) -> StreamStatus:
        if self.ended is not None:
            return self.ended
        if not self.wants_work:
            return "paused"
        return "playing" if self.given else "queued"

    @property
    def mime(self) -> str:
        return self.shared.form.mime

    @property
    def pictures(self) -> int:
        return self._account.pictures

    @property
    def figures(self) -> dict[str, Any]:
        return self._account.report()

    # what clients do with it

    async def change(
        self, prompt: str | None = None, paused: bool | None = None, transition: Transition | None = None
    ) -> None:
        """From the next latent frame on; InvalidParamError for what cannot be, NotFoundError if it has ended."""
        if self.ended is not None:
            raise NotFoundError(f"the stream has {'failed' if self.ended == 'failed' else 'ended'}; begin another one")
        if prompt is not None:
            check_text("prompt", prompt, self.shared.limits)
        if transition is not None:
            check_transition(transition)
        self.prompt, self.transition = self.prompt if prompt is None else prompt, transition or self.transition
        if self.begun and (prompt is not None or transition is not None):
            self.shared.send(ChangeStream(self.id, prompt, transition))
        if paused is not None and paused != (self.held_since is not None):
            self.held_since = now() if paused else None
            self.shared.arrange()

    async def stop(self) -> None:
        """No more work for it from now on; what has been made can be seen for a while."""
        self.end("stopped")

    @asynccontextmanager
    async def watch_video(self) -> AsyncIterator[Viewer[bytes]]:
        """A fragmented mp4 in pieces, its header with the first; the iterator ends for a viewer that stalls.

        Who hangs in sending a piece does not see that end: then `lost`, an asyncio.Event of the iterator, is set.
        """
        with self.show.watch_video() as viewer:
            yield viewer

    @asynccontextmanager
    async def watch_preview(self) -> AsyncIterator[Viewer[PreviewEvent]]:
        """Pictures as JPEGs and what happens around them, the latest where a viewer is slow; the last is an "end"."""
        marks = [events.mark(self, mark) for mark in self.marks]
        known = [*marks, events.figures(self)] if self.ended else [*marks, events.turn(self), events.figures(self)]
        last = [events.end(self)] if self.ended else []
        with self.show.watch_previews(known, last) as viewer:
            self._tell_of_masks()
            try:
                yield viewer
            finally:
                self._tell_of_masks()

    async def recent_video(self, seconds: float | None = None) -> bytes:
        """An mp4 of the last so many seconds, at most as much as is kept; BusyError before there is any picture."""
        return await self.show.film(seconds, self.metadata())

    # what the engine does with it

    def metadata(self) -> dict[str, Any]:
        """What its film says of itself; the prompt is that of now."""
        params, info = self.params, self.shared.info
        metadata = {
            "prompt": self.prompt,
            "negative_prompt": params.negative_prompt,
            "seed": self.seed,
            "model": info.name,
            "fingerprint": info.fingerprint,
            "settings": {**info.sampler, **sampling_overrides(params)},
        }
        return {name: value for name, value in metadata.items() if value not in (None, "")}

    def give(self, place: int | None, instant: float) -> None:
        """The model's turns, from now on; or a place in the queue for them. A paused stream has neither."""
        given, self.queue_position = place is None and self.wants_work, place
        if given and not self.given:
            self.given_since = instant
        if given and not self.begun:
            self._begin()
        elif given != self.given and self.begun:
            self.shared.send(ChangeStream(self.id, paused=not given))
        self.given = given
        self._tell_turn()

    def _begin(self) -> None:
        params, limits = self.params, self.shared.limits
        initial_frames = params.initial_frames
        begin = StartStream(
            id=self.id,
            prompt=self.prompt,
            negative_prompt=params.negative_prompt,
            seed=self.seed,
            sampling=sampling_overrides(params),
            transition=self.transition,
            frames=self.frames,
            ahead=limits.ahead_seconds if self.live else None,
            initial_kind=initial_frames.kind if initial_frames else None,
            initial_count=initial_frames.count if initial_frames else 0,
            infer_prompt=params.infer_prompt and not self.prompt,
            payload=initial_frames.pictures if initial_frames else b"",
        )
        self.begun = True
        self.shared.send(begin)
        self._let_go_of_beginning()
        self._tell_of_masks()

    def _let_go_of_beginning(self) -> None:
        """Of the pictures that it goes on from only the note about them is needed any more."""
        if self.params.initial_frames is not None:
            self.params = replace(self.params, initial_frames=replace(self.params.initial_frames, pictures=b""))

    def hear(self, message: Message) -> None:
        """From the model process."""
        if isinstance(message, MaskUpdate):
            seen = {"height": message.height, "width": message.width, "decided": message.payload}
            self.show.previews.tell(PreviewEvent("mask", message.picture, None, seen))
        elif isinstance(message, FrameBatch | StreamEnded):
            self.whole = isinstance(message, StreamEnded) and message.error is None
            self._inbox.put_nowait(message)

    def end(self, how: Ending, error: str | None = None) -> None:
        """Ending twice is ending once."""
        if self.ended is not None:
            return
        self.ended, self.error, self.ended_at = how, error, now()
        if self.begun and not self.whole:
            self.shared.send(StopStream(self.id))
        self.given, self.queue_position = False, None
        outcome = "completed" if self.whole and how == "stopped" and not self.live else how
        self.shared.tally[f"{'streams' if self.live else 'jobs'}_{outcome}"] += 1
        self.show.end(events.end(self))
        self._inbox.put_nowait(None)
        self.shared.arrange()

    def look_after(self, instant: float) -> None:
        """Pause it when nobody comes to see it, end it when nobody comes back."""
        if self.ended is not None or not self.live:
            return
        limits, alone, held = self.shared.limits, since(self.unwatched_since, instant), since(self.held_since, instant)
        if alone >= limits.forget_seconds or held >= limits.paused_seconds:
            self.end("stopped")
        elif alone >= limits.idle_seconds and not self.idle:
            self.idle = True
            self.shared.arrange()

    # its inner life

    async def _take_in(self) -> None:
        try:
            while self.ended is None and (message := await self._inbox.get()) is not None:
                if isinstance(message, FrameBatch):
                    await self._take(message)
                else:
                    await self._over(message.error)
        except VideogenError as error:
            self.end("failed", str(error))
        except Exception as error:
            logging.getLogger(__name__).exception("stream %s", self.id)
            self.end("failed", f"its pictures cannot be shown ({type(error).__name__})")
        finally:
            self._let_go_of_beginning()
            if not self.live:  # what is kept of a job is a file
                self.show.recent.clear()
            await self.show.close()

    async def _take(self, message: FrameBatch) -> None:
        info = self.shared.info
        shape = (message.count, info.height, info.width, 3)
        if message.note and (initial_frames := self.params.initial_frames) is not None:
            note = "; ".join(filter(None, (initial_frames.note, message.note)))
            self.params = replace(self.params, initial_frames=replace(initial_frames, note=note))
        if message.first == 0 and self.params.infer_prompt and not self.prompt:
            self.prompt, self.params = message.prompt, replace(self.params, prompt=message.prompt)
        if message.turned:
            self.marks.append(Mark(message.first, message.prompt, message.cut_short))
            self.show.previews.tell(events.mark(self, self.marks[-1]))
        await self.show.take(np.frombuffer(message.payload, np.uint8).reshape(shape))
        self._account.add(message, now() - self._created)
        if self.ended is None:
            self.show.previews.tell(events.figures(self))
            self.shared.send(Ack(self.id, self.pictures))

    async def _over(self, error: str | None) -> None:
        if error is None and self.on_whole is not None:
            await self.on_whole()
        self.end("stopped" if error is None else "failed", error)

    def _attended(self) -> None:
        """Viewers have come or gone: who is the last to go frees the model at once, who comes back is served again."""
        if self.ended is not None:
            return
        if self.show.attendance:
            self.unwatched_since, idle = None, False
        else:
            self.unwatched_since, idle = self.unwatched_since or now(), self.live and self.show.watched
        if idle != self.idle:
            self.idle = idle
            self.shared.arrange()

    def _tell_of_masks(self) -> None:
        if self.begun and self.ended is None:
            self.shared.send(ChangeStream(self.id, masks=bool(self.show.previews.viewers)))

    def _tell_turn(self) -> None:
        turn = events.turn(self)
        if self._turn_told is None or turn.data != self._turn_told.data:
            self._turn_told = turn
            self.show.previews.tell(turn)


def since(began: float | None, instant: float) -> float:
    return 0.0 if began is None else instant - began
