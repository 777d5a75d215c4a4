"""Which streams the model works on, and which wait."""

from collections.abc import Collection

from videogen.serve.engine.stream import Stream


class Scheduler:
    """A queue in the order in which streams began to want work; a paused stream leaves it and rejoins at its end.

    While others wait, a stream gives up its slot after `turn_seconds` and rejoins at the end of the queue: otherwise a
    watched stream, or a job, would hold it until it ends. One stream at a time, spread evenly, gives up its slot, so
    that each new turn is a whole one.
    """

    def __init__(self, slots: int, turn_seconds: float):
        self.slots, self.turn_seconds, self._queue = slots, turn_seconds, list[Stream]()
        self._next_turn_at = float("-inf")  # no turn ends before that

    def update(self, streams: Collection[Stream], model_alive: bool, now: float) -> None:
        """Give the slots to the first streams in the queue, or to none without a model, and the others positions."""
        waiting = {stream: None for stream in self._queue if stream.wants_work and stream in streams}
        self._queue = list(waiting | {stream: None for stream in streams if stream.wants_work})
        self._rotate(now)
        slots = self.slots if model_alive else 0
        for stream in streams:
            if not stream.wants_work:
                stream.schedule(None, now)
        for number, stream in enumerate(self._queue):
            stream.schedule(None if number < slots else number - slots + 1, now)

    def _rotate(self, now: float) -> None:
        if len(self._queue) <= self.slots or now < self._next_turn_at:
            return
        for stream in self._queue[: self.slots]:
            if stream.has_slot and now - stream.slot_since >= self.turn_seconds:
                self._queue.remove(stream)
                self._queue.append(stream)
                self._next_turn_at = now + self.turn_seconds / self.slots
                return
