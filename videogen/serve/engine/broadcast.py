"""The pictures of one stream on their way to its viewers: encoded once, kept for a while, told to all."""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from videogen.serve.engine.engine_context import EngineContext
from videogen.serve.engine.fanout import Fanout, FragmentQueue, PreviewEvent, PreviewQueue, Viewer
from videogen.serve.errors import RETRY_AFTER, BusyError
from videogen.serve.media.film import ClipBuffer, Mp4Encoder, film_of
from videogen.serve.media.fragments import Fragment

Item = TypeVar("Item")
BEHIND = 3  # latent frames that a viewer may be behind, or as many as come at once when a stream begins
JPEG_QUALITY = 85


class Broadcast:
    """Film and previews of a stream; `on_attendance` hears whenever viewers have come or gone.

    Where viewers are expected, the first who comes to the previews is shown what was made before that.
    """

    def __init__(self, shared: EngineContext, recent: ClipBuffer, on_attendance: Callable[[], None], expected: bool):
        self.shared, self.recent, self.on_attendance = shared, recent, on_attendance
        self.films: Fanout[bytes] = Fanout()
        self.previews: Fanout[PreviewEvent] = Fanout()
        self.watched = False  # whether anybody has ever come to see it
        self.filmed = False  # and whether that was to see the film
        at_once = shared.limits.ahead_seconds * shared.info.fps / shared.info.frames_per_latent
        self.behind = max(BEHIND, 1 + math.ceil(at_once))
        # Made before anybody could have come; None: no more of it is kept.
        self._early: list[PreviewEvent] | None = [] if expected else None
        self._encoder: Mp4Encoder | None = None

    @property
    def attendance(self) -> int:
        return len(self.films.viewers) + len(self.previews.viewers)

    @property
    def _backlog(self) -> int:
        """Pictures that somebody may not have seen yet."""
        return self.behind * self.shared.info.frames_per_latent

    async def take(self, pictures: NDArray[np.uint8]) -> Fragment:
        """uint8 [T, H, W, 3], to be shown after all before them. For one task at a time."""
        began = time.perf_counter()
        early = self._early is not None and len(self._early) < self._backlog
        piece, jpegs = await self.shared.aside(self._encoded, pictures, early or bool(self.previews.viewers))
        self.shared.tally["encoder_seconds"] += time.perf_counter() - began
        self.recent.add(piece)
        lost = self.films.tell(piece.data)
        shown = [PreviewEvent("picture", number, jpeg) for number, jpeg in enumerate(jpegs, start=piece.first)]
        for preview in shown:
            self.previews.tell(preview)
        if self._early is not None:  # too many: whoever comes now begins with what is new
            self._early = [*self._early, *shown] if early else None
        if lost:
            self.shared.tally["viewers_dropped"] += lost
            self.on_attendance()
        return piece

    def _encoded(self, pictures: NDArray[np.uint8], wanted: bool) -> tuple[Fragment, list[bytes]]:
        if self._encoder is None:
            info = self.shared.info
            self._encoder = Mp4Encoder(info.fps, info.height, info.width)
        return self._encoder.encode(pictures), [as_jpeg(picture) for picture in pictures] if wanted else []

    @contextmanager
    def watch_video(self) -> "Iterator[Viewer[bytes]]":
        """Who comes first, or when all is over, sees all that is kept; others begin at the last key picture."""
        everything = not self.filmed or self.films.closed
        pieces = self.recent.from_key(None if everything else 1)
        backlog = b"".join([self.shared.form.header, *(piece.data for piece in pieces)])
        with self._attended(self.films, Viewer(FragmentQueue(backlog, self.behind))) as viewer:
            self.filmed = True
            yield viewer

    @contextmanager
    def watch_previews(self, before: list[PreviewEvent], after: list[PreviewEvent]) -> "Iterator[Viewer[PreviewEvent]]":
        """What is told from now on; before it what must be known, and the pictures that nobody could have seen yet."""
        queue = PreviewQueue(self._backlog, self._dropped)
        queue.waiting.extend([*before, *(self._early or ()), *after])
        self._early = None
        with self._attended(self.previews, Viewer(queue)) as viewer:
            yield viewer

    @contextmanager
    def _attended(self, hub: Fanout[Item], viewer: Viewer[Item]) -> Iterator[Viewer[Item]]:
        self.shared.admit_viewer()
        hub.join(viewer)
        self.watched = True
        self.on_attendance()
        try:
            yield viewer
        finally:
            hub.leave(viewer)
            self.shared.tally["viewers"] -= 1
            self.on_attendance()

    def _dropped(self) -> None:
        self.shared.tally["previews_dropped"] += 1

    async def film(self, seconds: float | None, metadata: Mapping[str, Any]) -> bytes:
        """An mp4 of the last so many seconds that are kept, and a little more: it begins with a key picture."""
        fps = self.shared.info.fps
        pieces = self.recent.from_key(None if seconds is None else max(1, round(seconds * fps)))
        if not pieces:
            raise BusyError("no picture has been made yet", RETRY_AFTER)
        return await self.shared.aside(film_of, self.shared.form, pieces, metadata)

    def end(self, last: PreviewEvent) -> None:
        """Nothing more will be shown; who has not seen all yet still can."""
        self.previews.tell(last)
        self.films.close()
        self.previews.close()

    async def close(self) -> None:
        """The encoder is gone; what is kept stays."""
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            await self.shared.aside(encoder.close)


def as_jpeg(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
