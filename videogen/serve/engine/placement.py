"""On which replica a stream runs: the one with the least to do, and that one until it ends."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from videogen.serve.engine.stream import Stream


class Place(Protocol):
    """What placement knows of a replica."""

    @property
    def usable(self) -> bool:
        """Whether it can take work now."""

    @property
    def draining(self) -> bool:
        """Whether it gets no new work."""

    @property
    def load(self) -> int:
        """Streams that want work."""

    def waiting(self) -> list[Stream]:
        """Streams that want work and have never had a slot."""


AnyPlace = TypeVar("AnyPlace", bound=Place)


def choose(replicas: Sequence[AnyPlace]) -> AnyPlace:
    """The replica for a new stream: the least loaded that is usable, or that will be."""
    return min(replicas, key=lambda replica: (not replica.usable, replica.draining, replica.load))


def moves(replicas: Sequence[AnyPlace]) -> Iterator[tuple[Stream, AnyPlace, AnyPlace]]:
    """Streams that no model process knows yet, the replica that they leave, and the one that starts them sooner.

    The caller moves each before it asks for the next.
    """
    for replica in replicas:
        for stream in replica.waiting():
            better = choose(replicas)
            if not better.usable or (replica.usable and better.load + 1 >= replica.load):
                break
            yield stream, replica, better
