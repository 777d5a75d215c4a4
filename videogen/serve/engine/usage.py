"""What a stream has brought and cost, and the sums of it for the whole server."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from videogen.serve.messages import FrameBatch
from videogen.stats import GenerationStats

SUMMED = {"latent_frames": "latent_frames", "proposals": "proposals"}
TIMED = {"prior": "prior_seconds", "decoder": "decoder_seconds"}
SPEED_SECONDS = 4.0  # of video, of which the speed is told


@dataclass
class StreamUsage:
    """Of one stream; `sums` are those of all."""

    sums: dict[str, float]
    fps: float
    pictures: int = 0  # those that it was given to begin with among them
    figures: GenerationStats = field(default_factory=GenerationStats)
    latest: deque[tuple[int, float]] = field(default_factory=deque)  # pictures, and seconds by the clock they took

    def add(self, made: FrameBatch, seconds: float) -> None:
        """Pictures that can be seen from now on, so many seconds after they were wished for."""
        figures = self.figures
        if self.pictures == 0:
            figures.first_frame = seconds
        self.pictures += made.count
        figures.frames += made.count if made.latent_frames else 0
        self.sums["pictures"] += made.count
        for name, sum_of_all in (SUMMED | TIMED).items():
            setattr(figures, name, getattr(figures, name) + getattr(made, name))
            self.sums[sum_of_all] += getattr(made, name)
        if made.first > 0 and made.latent_frames:  # the first one waits for text and clip, and is often one picture
            self.latest.append((made.count, made.seconds))
            while sum(count for count, _ in self.latest) - self.latest[0][0] >= SPEED_SECONDS * self.fps:
                self.latest.popleft()

    @property
    def speed(self) -> float | None:
        """Seconds of video that are made in a second of the clock while the stream has its turn; None: not known yet.

        Below 1 whoever watches has to wait. The time for other streams counts; that in which nothing was due does not.
        """
        seconds = sum(taken for _, taken in self.latest)
        return sum(count for count, _ in self.latest) / self.fps / seconds if seconds > 0 else None

    def report(self) -> dict[str, Any]:
        speed = None if self.speed is None else round(self.speed, 3)
        return {"pictures": self.pictures, "speed": speed, **self.figures.report()}
