"""A stream in the web process, from its request to its end."""

import asyncio
import logging
import math
import secrets
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from videogen.control_plan import as_plain
from videogen.errors import VideogenError
from videogen.serve.engine.broadcast import Broadcast
from videogen.serve.engine.engine_context import EngineContext, loop_time
from videogen.serve.engine.events import ControlMark, PromptMark, end_event, mark_event, queue_event, stats_event
from videogen.serve.engine.fanout import PreviewEvent, Viewer
from videogen.serve.engine.usage import StreamUsage
from videogen.serve.engine.validation import check_control, check_text, check_transition
from videogen.serve.errors import NotFoundError
from videogen.serve.log import current_request_id, request_scope
from videogen.serve.media.mp4 import ClipBuffer
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
EndStatus = Literal["stopped", "failed"]
LOG = logging.getLogger(__name__)
KEPT_CONTROLS = 64  # changes of the control: a player makes one in almost every latent frame


class Stream:
    """A video while it is made, and for a while after that. Times are those of the event loop's clock."""

    def __init__(
        self,
        context: EngineContext,
        params: GenerationParams,
        seed: int,
        frames: int,
        live: bool = True,
        owner: str = "",
        id: str = "",
    ):
        self.id, self.owner = id or secrets.token_hex(16), owner
        self.request = params  # `params` also holds what the model found out
        self.context, self.params, self.seed, self.frames = context, params, seed, frames
        self.live = live  # False: it belongs to a job
        self.request_id = current_request_id()
        self.prompt, self.transition, self.control = params.prompt, params.transition, params.control
        self.created_at, self._created = time.time(), loop_time()
        self.marks: list[PromptMark] = []
        self.controls = deque[ControlMark](maxlen=KEPT_CONTROLS)  # the last changes
        self.error: str | None = None
        self.queue_position: int | None = None  # 1 is next; None: it does not wait
        self.has_slot = False  # the model works on it
        self.slot_since = 0.0
        self.started = False  # the model process knows it
        self.paused_since: float | None = None  # by its client
        self.idle = False  # paused because it has no viewers
        self.unwatched_since: float | None = self._created
        self.ended: EndStatus | None = None
        self.ended_at = math.inf
        self.complete = False  # all its frames are made
        self.on_complete: Callable[[], Awaitable[None]] | None = None  # awaited before a complete stream ends
        self.on_lost: Callable[[], Stream] | None = None  # makes a stream that replaces it; None: it fails
        self.deaths = 0  # of model processes that made it
        self._last_queue_event: PreviewEvent | None = None
        self._usage = StreamUsage(context.totals, context.info.fps)
        self.broadcast = Broadcast(context, self._make_buffer(), self._on_viewers, viewers_expected=live)
        self._inbox: asyncio.Queue[FrameBatch | StreamEnded | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._process_inbox(), name=f"videogen stream {self.id[:8]}")
        context.tasks.add(self.task)
        self.task.add_done_callback(context.tasks.discard)

    def _make_buffer(self) -> ClipBuffer:
        limits = self.context.limits
        if not self.live:
            return ClipBuffer(self.frames, sys.maxsize)
        return ClipBuffer(max(1, round(limits.recent_seconds * self.context.info.fps)), limits.recent_bytes)

    # its state

    @property
    def wants_work(self) -> bool:
        return self.ended is None and self.paused_since is None and not self.idle

    @property
    def due(self) -> bool:
        """Whether the model process should be at work on it."""
        return self.started and self.has_slot and not self.complete

    @property
    def status(self) -> StreamStatus:
        if self.ended is not None:
            return self.ended
        if not self.wants_work:
            return "paused"
        return "playing" if self.has_slot else "queued"

    @property
    def mime(self) -> str:
        return self.context.format.mime

    @property
    def frames_made(self) -> int:
        return self._usage.frames

    @property
    def stats(self) -> dict[str, Any]:
        return self._usage.report()

    def metadata(self) -> dict[str, Any]:
        """The metadata of its video, with the current prompt and control."""
        params, info = self.params, self.context.info
        metadata = {
            "prompt": self.prompt,
            "negative_prompt": params.negative_prompt,
            "control": None if self.control is None else as_plain(self.control),
            "seed": self.seed,
            "model": info.name,
            "fingerprint": info.fingerprint,
            "settings": {**info.sampler, **params.sampling},
        }
        return {name: value for name, value in metadata.items() if value not in (None, "")}

    # for clients

    async def change(
        self,
        prompt: str | None = None,
        paused: bool | None = None,
        transition: Transition | None = None,
        control: Any = None,
    ) -> None:
        """Applies from the next latent frame on. InvalidParamError, or NotFoundError if the stream has ended."""
        if self.ended is not None:
            raise NotFoundError(f"the stream has {'failed' if self.ended == 'failed' else 'ended'}; start another one")
        if prompt is not None:
            check_text("prompt", prompt, self.context.limits)
        if transition is not None:
            check_transition(transition)
        plan = check_control(control, self.context.info)
        self.prompt, self.transition = self.prompt if prompt is None else prompt, transition or self.transition
        self.control = self.control if plan is None else plan
        if self.started and any(each is not None for each in (prompt, transition, plan)):
            self.context.send(ChangeStream(self.id, prompt, transition, control=plan))
        if paused is not None and paused != (self.paused_since is not None):
            self.paused_since = loop_time() if paused else None
            self.context.reschedule()

    async def stop(self) -> None:
        """Stop making it; what has been made can be watched for a while."""
        self.end("stopped")

    @asynccontextmanager
    async def watch_video(self) -> AsyncIterator[Viewer[bytes]]:
        """A fragmented mp4: the header with the first fragments, then one fragment after the other."""
        with self.broadcast.watch_video() as viewer:
            yield viewer

    @asynccontextmanager
    async def watch_preview(self) -> AsyncIterator[Viewer[PreviewEvent]]:
        """Frames as JPEG, masks and other events, with gaps if the viewer is slow; the last event is an "end"."""
        marks = [mark_event(mark, self.context.info.fps) for mark in self.marks]
        stats = stats_event(self.frames_made, self.stats)
        before = [*marks, stats] if self.ended else [*marks, self._queue_event(), stats]
        with self.broadcast.watch_previews(before, [self._end_event()] if self.ended else []) as viewer:
            self._request_masks()
            try:
                yield viewer
            finally:
                self._request_masks()

    async def recent_video(self, seconds: float | None = None) -> bytes:
        """An mp4 of the last seconds that are kept; BusyError if there is no frame yet."""
        return await self.broadcast.recent_video(seconds, self.metadata())

    # for the engine

    def restore_end(self, status: EndStatus, error: str | None, ended_at: float, frames_made: int) -> None:
        """As it ended before the server was started."""
        self.ended, self.error, self.ended_at = status, error, ended_at
        self._usage.frames = frames_made
        self.broadcast.end(self._end_event())
        self._inbox.put_nowait(None)

    def schedule(self, position: int | None, now: float) -> None:
        """Give it a slot (None), or a position in the queue. A stream that wants no work gets neither."""
        has_slot, self.queue_position = position is None and self.wants_work, position
        if has_slot and not self.has_slot:
            self.slot_since = now
        if has_slot and not self.started:
            self._start()
        elif has_slot != self.has_slot and self.started:
            self.context.send(ChangeStream(self.id, paused=not has_slot))
        self.has_slot = has_slot
        event = self._queue_event()
        if self._last_queue_event is None or event.data != self._last_queue_event.data:
            self._last_queue_event = event
            self.broadcast.previews.send(event)

    def on_message(self, message: Message) -> None:
        """A message of the model process about this stream."""
        if isinstance(message, MaskUpdate):
            mask = {"height": message.height, "width": message.width, "decided": message.payload}
            self.broadcast.previews.send(PreviewEvent("mask", message.frame, None, mask))
        elif isinstance(message, FrameBatch | StreamEnded):
            self.complete = isinstance(message, StreamEnded) and message.error is None
            self._inbox.put_nowait(message)

    def end(self, status: EndStatus, error: str | None = None) -> None:
        """Does nothing if the stream has ended."""
        if self.ended is not None:
            return
        self.ended, self.error, self.ended_at = status, error, loop_time()
        if self.started and not self.complete:
            self.context.send(StopStream(self.id))
        self.has_slot, self.queue_position = False, None
        outcome = "completed" if self.complete and status == "stopped" and not self.live else status
        self.context.totals[f"{'streams' if self.live else 'jobs'}_{outcome}"] += 1
        self._log_end(outcome)
        self.broadcast.end(self._end_event())
        self._inbox.put_nowait(None)
        self.context.reschedule()

    def begin_again(self) -> "Stream":
        """A stream of the same request, seed and id; this one ends uncounted."""
        with request_scope(self.request_id):
            stream = Stream(self.context, self.request, self.seed, self.frames, self.live, self.owner, self.id)
        stream.created_at, stream._created, stream.deaths = self.created_at, self._created, self.deaths
        self.ended = "stopped"
        self.context.send(StopStream(self.id))
        self._inbox.put_nowait(None)
        return stream

    def expire_idle(self, now: float) -> None:
        """Pause a stream that nobody watches, and stop it when nobody comes back."""
        if self.ended is not None or not self.live:
            return
        limits = self.context.limits
        unwatched, paused = elapsed(self.unwatched_since, now), elapsed(self.paused_since, now)
        if unwatched >= limits.forget_seconds or paused >= limits.paused_seconds:
            self.end("stopped")
        elif unwatched >= limits.idle_seconds and not self.idle:
            self.idle = True
            self.context.reschedule()

    # internals

    def _start(self) -> None:
        limits, initial = self.context.limits, self.params.initial_frames
        params = replace(
            self.params,
            prompt=self.prompt,
            transition=self.transition,
            control=self.control,
            seed=self.seed,
            frames=self.frames,
            infer_prompt=self.params.infer_prompt and not self.prompt,
        )
        ahead = limits.ahead_seconds if self.live else None
        self.started = True
        self.context.send(StartStream(self.id, params, ahead, initial.pixels if initial else b"", self.request_id))
        if self.on_lost is None:
            self._release_initial_frames()
        self._request_masks()

    def _release_initial_frames(self) -> None:
        """Keep only the note about them."""
        if self.params.initial_frames is not None:
            self.params = replace(self.params, initial_frames=replace(self.params.initial_frames, pixels=b""))
            self.request = self.params

    async def _process_inbox(self) -> None:
        try:
            while self.ended is None and (message := await self._inbox.get()) is not None:
                if isinstance(message, FrameBatch):
                    await self._add_frames(message)
                else:
                    await self._finish(message.error)
        except VideogenError as error:
            self.end("failed", str(error))
        except Exception as error:
            LOG.exception("stream %s", self.id)
            self.end("failed", f"its frames cannot be encoded ({type(error).__name__})")
        finally:
            self._release_initial_frames()
            if not self.live:  # a job keeps a file
                self.broadcast.buffer.clear()
            await self.broadcast.close()

    def _log_end(self, outcome: str) -> None:
        """With the id of its own request; without the reason, which could quote its prompt."""
        kind, seconds = "stream" if self.live else "video", round(loop_time() - self._created, 3)
        fields = {kind: self.id, "outcome": outcome, "frames": self.frames_made, "seconds": seconds}
        with request_scope(self.request_id):
            LOG.info("%s %s %s", kind, self.id, outcome, extra={"fields": fields})

    async def _add_frames(self, batch: FrameBatch) -> None:
        info = self.context.info
        if batch.note and (initial := self.params.initial_frames) is not None:
            note = "; ".join(filter(None, (initial.note, batch.note)))
            self.params = replace(self.params, initial_frames=replace(initial, note=note))
        if batch.first == 0 and self.params.infer_prompt and not self.prompt:
            self.prompt, self.params = batch.prompt, replace(self.params, prompt=batch.prompt)
        if batch.new_prompt:
            mark = PromptMark(batch.first, batch.prompt, batch.truncated)
            self.marks.append(mark)
            self.broadcast.previews.send(mark_event(mark, info.fps))
        if batch.latent_frames and batch.control != (self.controls[-1].control if self.controls else None):
            number = self.controls[-1].number + 1 if self.controls else 0
            self.controls.append(ControlMark(number, batch.first, batch.control))
        frames = np.frombuffer(batch.payload, np.uint8).reshape(batch.count, info.height, info.width, 3)
        await self.broadcast.add_frames(frames)
        self._usage.add(batch, loop_time() - self._created)
        if self.ended is None:
            self.broadcast.previews.send(stats_event(self.frames_made, self.stats))
            self.context.send(Ack(self.id, self.frames_made))

    async def _finish(self, error: str | None) -> None:
        if error is None and self.on_complete is not None:
            await self.on_complete()
        self.end("stopped" if error is None else "failed", error)

    def _on_viewers(self) -> None:
        """Pause the stream when its last viewer leaves, and resume it when one comes."""
        if self.ended is not None:
            return
        if self.broadcast.viewer_count:
            self.unwatched_since, idle = None, False
        else:
            self.unwatched_since = self.unwatched_since or loop_time()
            idle = self.live and self.broadcast.had_viewers
        if idle != self.idle:
            self.idle = idle
            self.context.reschedule()

    def _request_masks(self) -> None:
        if self.started and self.ended is None:
            self.context.send(ChangeStream(self.id, masks=bool(self.broadcast.previews.viewers)))

    def _queue_event(self) -> PreviewEvent:
        return queue_event(self.frames_made, self.status, self.queue_position)

    def _end_event(self) -> PreviewEvent:
        return end_event(self.frames_made, self.ended, self.error)


def elapsed(start: float | None, now: float) -> float:
    return 0.0 if start is None else now - start
