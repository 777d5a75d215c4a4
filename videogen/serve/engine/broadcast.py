"""The frames of one stream on their way to its viewers: encoded once, and kept for late viewers."""

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
from videogen.serve.errors import BusyError
from videogen.serve.media.fragments import Fragment
from videogen.serve.media.mp4 import ClipBuffer, FragmentEncoder, mux_mp4

Item = TypeVar("Item")
MIN_LAG = 3  # latent frames that a viewer may be behind, or as many as arrive at once when a stream starts
JPEG_QUALITY = 85


class Broadcast:
    """Video and previews of a stream; `on_viewers` is called when viewers have come or gone.

    With `viewers_expected`, frames made before the first viewer of the previews comes are kept for that viewer.
    """

    def __init__(
        self, context: EngineContext, buffer: ClipBuffer, on_viewers: Callable[[], None], viewers_expected: bool
    ):
        self.context, self.buffer, self.on_viewers = context, buffer, on_viewers
        self.video: Fanout[bytes] = Fanout()
        self.previews: Fanout[PreviewEvent] = Fanout()
        self.had_viewers = False
        self._had_video_viewers = False
        at_once = context.limits.ahead_seconds * context.info.fps / context.info.frames_per_latent
        self.max_lag = max(MIN_LAG, 1 + math.ceil(at_once))  # latent frames
        self._early: list[PreviewEvent] | None = [] if viewers_expected else None  # None: no longer kept
        self._encoder: FragmentEncoder | None = None

    @property
    def viewer_count(self) -> int:
        return len(self.video.viewers) + len(self.previews.viewers)

    @property
    def _max_preview_frames(self) -> int:
        return self.max_lag * self.context.info.frames_per_latent

    async def add_frames(self, frames: NDArray[np.uint8]) -> Fragment:
        """Encode the next frames, uint8 [T, H, W, 3], and send them to all viewers. One call at a time."""
        began = time.perf_counter()
        early = self._early is not None and len(self._early) < self._max_preview_frames
        with_jpegs = early or bool(self.previews.viewers)
        fragment, jpegs = await self.context.run_in_thread(self._encode, frames, with_jpegs)
        self.context.totals["encoder_seconds"] += time.perf_counter() - began
        self.buffer.add(fragment)
        lost = self.video.send(fragment.data)
        events = [PreviewEvent("frame", number, jpeg) for number, jpeg in enumerate(jpegs, start=fragment.first)]
        for event in events:
            self.previews.send(event)
        if self._early is not None:  # beyond the limit, the first viewer starts with what is new
            self._early = [*self._early, *events] if early else None
        if lost:
            self.context.totals["viewers_dropped"] += lost
            self.on_viewers()
        return fragment

    def _encode(self, frames: NDArray[np.uint8], with_jpegs: bool) -> tuple[Fragment, list[bytes]]:
        if self._encoder is None:
            info = self.context.info
            self._encoder = FragmentEncoder(info.fps, info.height, info.width)
        return self._encoder.encode(frames), [encode_jpeg(frame) for frame in frames] if with_jpegs else []

    @contextmanager
    def watch_video(self) -> "Iterator[Viewer[bytes]]":
        """The first viewer, and one after the end, gets all that is kept; others start at the latest key frame."""
        everything = not self._had_video_viewers or self.video.closed
        fragments = self.buffer.from_key_frame(None if everything else 1)
        backlog = b"".join([self.context.format.header, *(fragment.data for fragment in fragments)])
        with self._admit(self.video, Viewer(FragmentQueue(backlog, self.max_lag))) as viewer:
            self._had_video_viewers = True
            yield viewer

    @contextmanager
    def watch_previews(self, before: list[PreviewEvent], after: list[PreviewEvent]) -> "Iterator[Viewer[PreviewEvent]]":
        """The events `before`, early frames, the events `after`, and then all that is sent from now on."""
        queue = PreviewQueue(self._max_preview_frames, self._count_drop)
        queue.waiting.extend([*before, *(self._early or ()), *after])
        self._early = None
        with self._admit(self.previews, Viewer(queue)) as viewer:
            yield viewer

    @contextmanager
    def _admit(self, fanout: Fanout[Item], viewer: Viewer[Item]) -> Iterator[Viewer[Item]]:
        self.context.admit_viewer()
        fanout.join(viewer)
        self.had_viewers = True
        self.on_viewers()
        try:
            yield viewer
        finally:
            fanout.leave(viewer)
            self.context.totals["viewers"] -= 1
            self.on_viewers()

    def _count_drop(self) -> None:
        self.context.totals["previews_dropped"] += 1

    async def recent_video(self, seconds: float | None, metadata: Mapping[str, Any]) -> bytes:
        """An mp4 of the last seconds that are kept, and a little more, because it starts with a key frame."""
        fps = self.context.info.fps
        fragments = self.buffer.from_key_frame(None if seconds is None else max(1, round(seconds * fps)))
        if not fragments:
            raise BusyError("there is no frame yet; try again later")
        return await self.context.run_in_thread(mux_mp4, self.context.format, fragments, metadata)

    def end(self, last: PreviewEvent) -> None:
        """Send no more; viewers can still read their queues."""
        self.previews.send(last)
        self.video.close()
        self.previews.close()

    async def close(self) -> None:
        """Close the encoder; the buffer stays."""
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            await self.context.run_in_thread(encoder.close)


def encode_jpeg(frame: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
