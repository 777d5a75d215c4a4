"""Who has the model's turns, and who waits for them."""

from collections.abc import Iterable

from videogen.serve.engine.stream import Stream


class Scheduler:
    """In the order in which they came to want work; who pauses leaves the line, who goes on stands at its end.

    While somebody waits, others do so too after `turn_seconds`, or who comes first would keep the rest away: a stream
    for as long as it is watched, a job until it is done. One at a time, evenly, so that each has a whole turn again.
    """

    def __init__(self, places: int, turn_seconds: float):
        self.places, self.turn_seconds, self._line = places, turn_seconds, list[Stream]()
        self._next_at = float("-inf")  # no turn ends before that

    def arrange(self, everything: Iterable[Stream], alive: bool, instant: float) -> None:
        """The first few have the turns, if there is a model to have them from; the rest have places in the queue."""
        wanting = {stream: None for stream in self._line if stream.wants_work}
        self._line = list(wanting | {stream: None for stream in everything if stream.wants_work})
        self._end_a_turn(instant)
        places = self.places if alive else 0
        for stream in everything:
            if not stream.wants_work:
                stream.give(None, instant)
        for number, stream in enumerate(self._line):
            stream.give(None if number < places else number - places + 1, instant)

    def _end_a_turn(self, instant: float) -> None:
        if len(self._line) <= self.places or instant < self._next_at:
            return
        for stream in self._line[: self.places]:
            if stream.given and instant - stream.given_since >= self.turn_seconds:
                self._line.remove(stream)
                self._line.append(stream)
                self._next_at = instant + self.turn_seconds / self.places
                return
