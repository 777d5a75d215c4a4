"""Who has the model's turns, and who waits for them."""

from collections.abc import Iterable

from videogen.serve.streaming import Stream


class Line:
    """In the order in which they came to want work; who pauses leaves the line, who goes on stands at its end."""

    def __init__(self, places: int):
        self.places, self._line = places, list[Stream]()

    def arrange(self, everything: Iterable[Stream], alive: bool) -> None:
        """The first few have the turns, if there is a model to have them from; the rest have places in the queue."""
        wanting = {stream: None for stream in self._line if stream.wants_work}
        self._line = list(wanting | {stream: None for stream in everything if stream.wants_work})
        places = self.places if alive else 0
        for stream in everything:
            if not stream.wants_work:
                stream.give(None)
        for number, stream in enumerate(self._line):
            stream.give(None if number < places else number - places + 1)
