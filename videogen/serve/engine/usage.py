"""What a stream has produced and cost, and the totals of the server."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from videogen.generation.stats import GenerationStats
from videogen.serve.messages import FrameBatch

COUNTERS = {  # attribute of a FrameBatch: attribute of its GenerationStats, and counter of the server
    "latent_frames": ("latent_frames", "latent_frames"),
    "steps": ("proposals", "proposals"),
    "prior_seconds": ("prior", "prior_seconds"),
    "decoder_seconds": ("decoder", "decoder_seconds"),
}
SPEED_WINDOW = 4.0  # seconds of video from which the speed is computed


@dataclass
class StreamUsage:
    totals: dict[str, float]  # of the server
    fps: float
    frames: int = 0  # initial frames included
    stats: GenerationStats = field(default_factory=GenerationStats)
    latest: deque[tuple[int, float]] = field(default_factory=deque)  # frames, and the wall-clock seconds they took

    def add(self, batch: FrameBatch, seconds: float) -> None:
        """Frames that viewers can see now, this many seconds after the request."""
        if self.frames == 0:
            self.stats.first_frame = seconds
        self.frames += batch.count
        self.stats.frames += batch.count if batch.latent_frames else 0
        self.totals["frames"] += batch.count
        for name, (stat, total) in COUNTERS.items():
            setattr(self.stats, stat, getattr(self.stats, stat) + getattr(batch, name))
            self.totals[total] += getattr(batch, name)
        if batch.first > 0 and batch.latent_frames:  # the first one waits for text and clip, and is often one frame
            self.latest.append((batch.count, batch.seconds))
            while sum(count for count, _ in self.latest) - self.latest[0][0] >= SPEED_WINDOW * self.fps:
                self.latest.popleft()

    @property
    def speed(self) -> float | None:
        """Seconds of video made per wall-clock second while the stream has a slot; None until it is known.

        Below 1, viewers have to wait. Work on other streams counts; time in which nothing was due does not.
        """
        seconds = sum(seconds for _, seconds in self.latest)
        return sum(count for count, _ in self.latest) / self.fps / seconds if seconds > 0 else None

    def report(self) -> dict[str, Any]:
        speed = None if self.speed is None else round(self.speed, 3)
        return {**self.stats.report(), "frames": self.frames, "frames_generated": self.stats.frames, "speed": speed}
