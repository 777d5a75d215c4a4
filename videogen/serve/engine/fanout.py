"""Viewers of one stream: each has a short queue of its own, and none can make the others wait."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class PreviewEvent:
    """Something that a viewer of the preview sees; the last one is an "end".

    The data of a mask are {"height", "width", "decided": bytes, 0 or 1 for each token}; the others are in `news`.
    """

    kind: Literal["picture", "mask", "mark", "turn", "figures", "end"]
    number: int  # of the picture; of a mask, of the first picture that it will become
    jpeg: bytes | None = field(default=None, repr=False)  # of a picture
    data: Mapping[str, Any] = field(default_factory=dict)


class Queue(Protocol[Item]):
    """What a viewer has not seen yet."""

    def put(self, item: Item) -> bool:
        """Whether the viewer can go on: one that cannot follow is let go."""

    def get(self) -> Item:
        """The oldest; IndexError if there is none."""


class Viewer(Generic[Item]):
    """An iterator that ends with the stream, or when its reader is too slow for its kind of queue.

    A reader that hangs in sending what it has cannot see that end: `lost` is set at that moment, for others to see.
    """

    def __init__(self, queue: Queue[Item]):
        self.queue, self.closed = queue, False
        self.lost, self._news = asyncio.Event(), asyncio.Event()

    def tell(self, item: Item) -> bool:
        """Whether it can go on."""
        if not self.queue.put(item):
            self.lost.set()
            self.close()
        self._news.set()
        return not self.closed

    def close(self) -> None:
        """Nothing more will come; what has come can still be read."""
        self.closed = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        while True:
            try:
                return self.queue.get()
            except IndexError:
                if self.closed:
                    raise StopAsyncIteration from None
            self._news.clear()
            await self._news.wait()


class FragmentQueue:
    """Of a film, nothing may be missing: who is so many pieces behind has stalled, and gets no more."""

    def __init__(self, backlog: bytes, pieces: int):
        self.waiting, self.pieces, self.room = deque([backlog]), pieces, pieces + 1

    def put(self, item: bytes) -> bool:
        if len(self.waiting) >= self.room:
            self.waiting.clear()
            return False
        self.waiting.append(item)
        return True

    def get(self) -> bytes:
        piece = self.waiting.popleft()
        self.room = self.pieces
        return piece


class PreviewQueue:
    """Of a preview, only the latest counts: the oldest pictures are left out, and of masks all but one."""

    def __init__(self, pictures: int, on_drop: Callable[[], None]):
        self.pictures, self.on_drop = pictures, on_drop
        self.waiting: deque[PreviewEvent] = deque()

    def put(self, item: PreviewEvent) -> bool:
        room = {"picture": self.pictures, "mask": 1, "turn": 1, "figures": 1}.get(item.kind)
        same = [one for one in self.waiting if one.kind == item.kind]
        if room is not None and len(same) >= room:
            self.waiting.remove(same[0])
            if item.kind == "picture":
                self.on_drop()
        self.waiting.append(item)
        return True

    def get(self) -> PreviewEvent:
        return self.waiting.popleft()


class Fanout(Generic[Item]):
    """All viewers of one kind; what one is told, all are told."""

    def __init__(self) -> None:
        self.viewers: set[Viewer[Item]] = set()
        self.closed = False

    def join(self, viewer: Viewer[Item]) -> None:
        """One that comes when all is over still reads what it begins with."""
        if self.closed:
            viewer.close()
        else:
            self.viewers.add(viewer)

    def leave(self, viewer: Viewer[Item]) -> None:
        """Of its own will; one that has been let go may leave too."""
        self.viewers.discard(viewer)

    def tell(self, item: Item) -> int:
        """How many could not follow, and were let go."""
        lost = [viewer for viewer in self.viewers if not viewer.tell(item)]
        self.viewers.difference_update(lost)
        return len(lost)

    def close(self) -> None:
        """Nobody is told anything any more."""
        self.closed = True
        for viewer in self.viewers:
            viewer.close()
        self.viewers.clear()
