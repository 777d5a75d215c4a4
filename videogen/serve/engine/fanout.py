"""Viewers of one stream, each with a short queue: none can delay the others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class PreviewEvent:
    """One event of a preview; the last one is an "end".

    The data of a mask are {"height", "width", "decided": bytes, 0 or 1 for each token}; see `events` for the others.
    """

    kind: Literal["frame", "mask", "mark", "queue", "stats", "end"]
    number: int  # of the frame; of a mask, of the first frame that it will become
    jpeg: bytes | None = field(default=None, repr=False)  # of a frame
    data: Mapping[str, Any] = field(default_factory=dict)


class ViewerQueue(Protocol[Item]):
    """What a viewer has not read yet."""

    def put(self, item: Item) -> bool:
        """False if the viewer is too slow and must be dropped."""

    def get(self) -> Item:
        """The oldest item; IndexError if there is none."""


class Viewer(Generic[Item]):
    """An iterator that ends with the stream, or when its reader is too slow for its queue.

    A reader that is blocked in sending does not see that end; `lost` is set at that moment.
    """

    def __init__(self, queue: ViewerQueue[Item]):
        self.queue, self.closed = queue, False
        self.lost, self._changed = asyncio.Event(), asyncio.Event()

    def send(self, item: Item) -> bool:
        """False if the viewer is closed, now or before."""
        if not self.queue.put(item):
            self.lost.set()
            self.close()
        self._changed.set()
        return not self.closed

    def close(self) -> None:
        """No more items; those in the queue can still be read."""
        self.closed = True
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        while True:
            try:
                return self.queue.get()
            except IndexError:
                if self.closed:
                    raise StopAsyncIteration from None
            self._changed.clear()
            await self._changed.wait()


class FragmentQueue:
    """Video must be complete: a viewer that is this many fragments behind is dropped."""

    def __init__(self, backlog: bytes, max_fragments: int):
        self.waiting, self.max_fragments = deque([backlog]), max_fragments
        self.room = max_fragments + 1  # the backlog does not count

    def put(self, item: bytes) -> bool:
        if len(self.waiting) >= self.room:
            self.waiting.clear()
            return False
        self.waiting.append(item)
        return True

    def get(self) -> bytes:
        fragment = self.waiting.popleft()
        self.room = self.max_fragments
        return fragment


class PreviewQueue:
    """Previews may have gaps: the oldest frames are dropped, and all masks but the latest."""

    def __init__(self, max_frames: int, on_drop: Callable[[], None]):
        self.max_frames, self.on_drop = max_frames, on_drop
        self.waiting: deque[PreviewEvent] = deque()

    def put(self, item: PreviewEvent) -> bool:
        room = {"frame": self.max_frames, "mask": 1, "queue": 1, "stats": 1}.get(item.kind)
        same = [one for one in self.waiting if one.kind == item.kind]
        if room is not None and len(same) >= room:
            self.waiting.remove(same[0])
            if item.kind == "frame":
                self.on_drop()
        self.waiting.append(item)
        return True

    def get(self) -> PreviewEvent:
        return self.waiting.popleft()


class Fanout(Generic[Item]):
    """All viewers of the video, or of the preview, of one stream."""

    def __init__(self) -> None:
        self.viewers: set[Viewer[Item]] = set()
        self.closed = False

    def join(self, viewer: Viewer[Item]) -> None:
        """A viewer that joins after the end can still read its backlog."""
        if self.closed:
            viewer.close()
        else:
            self.viewers.add(viewer)

    def leave(self, viewer: Viewer[Item]) -> None:
        """Does nothing for a viewer that was dropped."""
        self.viewers.discard(viewer)

    def send(self, item: Item) -> int:
        """Returns how many viewers were too slow and were dropped."""
        lost = [viewer for viewer in self.viewers if not viewer.send(item)]
        self.viewers.difference_update(lost)
        return len(lost)

    def close(self) -> None:
        self.closed = True
        for viewer in self.viewers:
            viewer.close()
        self.viewers.clear()
