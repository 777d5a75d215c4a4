"""Real time: how far a stream may be made ahead of whoever watches it."""

from dataclasses import dataclass


@dataclass
class Pace:
    """A player that shows pictures at `fps` from the moment when it has the first, and waits where it has none."""

    fps: float
    ahead: float  # seconds of video
    began: float | None = None  # when the first picture would have been shown, had the player never waited

    def made(self, before: int, now: float) -> None:
        """Pictures have come at `now`, after `before` others; if the player had run out of them, it has waited."""
        late = now - before / self.fps
        self.began = late if self.began is None else max(self.began, late)

    def due(self, made: int) -> float:
        """When the picture after so many may be begun."""
        return float("-inf") if self.began is None else self.began + made / self.fps - self.ahead
