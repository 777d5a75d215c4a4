"""A stream as its clients know it, from the wish to the end."""

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
from videogen.serve.engine.broadcast import Show
from videogen.serve.engine.engine_context import Shared, now
from videogen.serve.engine.events import Mark
from videogen.serve.engine.fanout import Preview, Viewer
from videogen.serve.engine.usage import Account
from videogen.serve.engine.validation import check_text, check_transition, sampling_of
from videogen.serve.errors import Gone
from videogen.serve.media.film import Recent
from videogen.serve.messages import Begin, Change, Ended, Mask, Message, Pictures, Stop, Took
from videogen.serve.requests import Transition, Wish

StreamStatus = Literal["queued", "playing", "paused", "stopped", "failed"]
Ending = Literal["stopped", "failed"]


class Stream:
    """A video while it is made, and for a while after that."""

    def __init__(self, shared: Shared, wish: Wish, seed: int, frames: int, live: bool = True, owner: str = ""):
        self.id, self.owner = secrets.token_hex(16), owner
        self.shared, self.wish, self.seed, self.frames, self.live = shared, wish, seed, frames, live
        self.prompt, self.transition = wish.prompt, wish.transition
        self.created_at, self._created = time.time(), now()
        self.marks: list[Mark] = []
        self.error: str | None = None
        self.place_in_queue: int | None = None  # 1 is next; None where it does not wait
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
        self._turn_told: Preview | None = None
        self._account = Account(shared.tally, shared.info.fps)
        self.show = Show(shared, self._room(), self._attended, expected=live)
        self._inbox: asyncio.Queue[Pictures | Ended | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._take_in(), name=f"videogen stream {self.id[:8]}")

    def _room(self) -> Recent:
        limits = self.shared.limits
        if not self.live:
            return Recent(self.frames, sys.maxsize)
        return Recent(max(1, round(limits.recent_seconds * self.shared.info.fps)), limits.recent_bytes)

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
        """From the next latent frame on; WishError for what cannot be, Gone if it has ended."""
        if self.ended is not None:
            raise Gone(f"the stream has {'failed' if self.ended == 'failed' else 'ended'}; begin another one")
        if prompt is not None:
            check_text("prompt", prompt, self.shared.limits)
        if transition is not None:
            check_transition(transition)
        self.prompt, self.transition = self.prompt if prompt is None else prompt, transition or self.transition
        if self.begun and (prompt is not None or transition is not None):
            self.shared.send(Change(self.id, prompt, transition))
        if paused is not None and paused != (self.held_since is not None):
            self.held_since = now() if paused else None
            self.shared.arrange()

    async def stop(self) -> None:
        """No more work for it from now on; what has been made can be seen for a while."""
        self.end("stopped")

    @asynccontextmanager
    async def watch_film(self) -> AsyncIterator[Viewer[bytes]]:
        """A fragmented mp4 in pieces, its header with the first; the iterator ends for a viewer that stalls.

        Who hangs in sending a piece does not see that end: then `lost`, an asyncio.Event of the iterator, is set.
        """
        with self.show.watch_film() as viewer:
            yield viewer

    @asynccontextmanager
    async def watch_preview(self) -> AsyncIterator[Viewer[Preview]]:
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

    async def film_so_far(self, seconds: float | None = None) -> bytes:
        """An mp4 of the last so many seconds, at most as much as is kept; Busy before there is any picture."""
        return await self.show.film(seconds, self.metadata())

    # what the engine does with it

    def metadata(self) -> dict[str, Any]:
        """What its film says of itself; the prompt is that of now."""
        wish, info = self.wish, self.shared.info
        metadata = {
            "prompt": self.prompt,
            "negative_prompt": wish.negative_prompt,
            "seed": self.seed,
            "model": info.name,
            "fingerprint": info.fingerprint,
            "settings": {**info.sampler, **sampling_of(wish)},
        }
        return {name: value for name, value in metadata.items() if value not in (None, "")}

    def give(self, place: int | None, instant: float) -> None:
        """The model's turns, from now on; or a place in the queue for them. A paused stream has neither."""
        given, self.place_in_queue = place is None and self.wants_work, place
        if given and not self.given:
            self.given_since = instant
        if given and not self.begun:
            self._begin()
        elif given != self.given and self.begun:
            self.shared.send(Change(self.id, paused=not given))
        self.given = given
        self._tell_turn()

    def _begin(self) -> None:
        wish, limits = self.wish, self.shared.limits
        beginning = wish.beginning
        begin = Begin(
            id=self.id,
            prompt=self.prompt,
            negative_prompt=wish.negative_prompt,
            seed=self.seed,
            sampling=sampling_of(wish),
            transition=self.transition,
            frames=self.frames,
            ahead=limits.ahead_seconds if self.live else None,
            beginning=beginning.kind if beginning else None,
            count=beginning.count if beginning else 0,
            find_prompt=wish.find_prompt and not self.prompt,
            payload=beginning.pictures if beginning else b"",
        )
        self.begun = True
        self.shared.send(begin)
        self._let_go_of_beginning()
        self._tell_of_masks()

    def _let_go_of_beginning(self) -> None:
        """Of the pictures that it goes on from only the note about them is needed any more."""
        if self.wish.beginning is not None:
            self.wish = replace(self.wish, beginning=replace(self.wish.beginning, pictures=b""))

    def hear(self, message: Message) -> None:
        """From the model process."""
        if isinstance(message, Mask):
            seen = {"height": message.height, "width": message.width, "decided": message.payload}
            self.show.previews.tell(Preview("mask", message.picture, None, seen))
        elif isinstance(message, Pictures | Ended):
            self.whole = isinstance(message, Ended) and message.error is None
            self._inbox.put_nowait(message)

    def end(self, how: Ending, error: str | None = None) -> None:
        """Ending twice is ending once."""
        if self.ended is not None:
            return
        self.ended, self.error, self.ended_at = how, error, now()
        if self.begun and not self.whole:
            self.shared.send(Stop(self.id))
        self.given, self.place_in_queue = False, None
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
                if isinstance(message, Pictures):
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

    async def _take(self, message: Pictures) -> None:
        info = self.shared.info
        shape = (message.count, info.height, info.width, 3)
        if message.note and (beginning := self.wish.beginning) is not None:
            note = "; ".join(filter(None, (beginning.note, message.note)))
            self.wish = replace(self.wish, beginning=replace(beginning, note=note))
        if message.first == 0 and self.wish.find_prompt and not self.prompt:
            self.prompt, self.wish = message.prompt, replace(self.wish, prompt=message.prompt)
        if message.turned:
            self.marks.append(Mark(message.first, message.prompt, message.cut_short))
            self.show.previews.tell(events.mark(self, self.marks[-1]))
        await self.show.take(np.frombuffer(message.payload, np.uint8).reshape(shape))
        self._account.add(message, now() - self._created)
        if self.ended is None:
            self.show.previews.tell(events.figures(self))
            self.shared.send(Took(self.id, self.pictures))

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
            self.shared.send(Change(self.id, masks=bool(self.show.previews.viewers)))

    def _tell_turn(self) -> None:
        turn = events.turn(self)
        if self._turn_told is None or turn.data != self._turn_told.data:
            self._turn_told = turn
            self.show.previews.tell(turn)


def since(began: float | None, instant: float) -> float:
    return 0.0 if began is None else instant - began
