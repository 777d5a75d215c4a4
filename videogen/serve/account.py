"""What a stream has brought and cost, and the sums of it for the whole server."""

from dataclasses import dataclass, field
from typing import Any

from videogen.figures import Figures
from videogen.serve.messages import Pictures

SUMMED = {"latent_frames": "latent_frames", "proposals": "proposals"}
TIMED = {"prior": "prior_seconds", "decoder": "decoder_seconds"}


@dataclass
class Account:
    """Of one stream; `sums` are those of all."""

    sums: dict[str, float]
    pictures: int = 0  # those that it was given to begin with among them
    figures: Figures = field(default_factory=Figures)

    def add(self, made: Pictures, seconds: float) -> None:
        """Pictures that can be seen from now on, so many seconds after they were wished for."""
        figures = self.figures
        if self.pictures == 0:
            figures.first_picture = seconds
        self.pictures += made.count
        figures.pictures += made.count if made.latent_frames else 0
        self.sums["pictures"] += made.count
        for name, sum_of_all in (SUMMED | TIMED).items():
            setattr(figures, name, getattr(figures, name) + getattr(made, name))
            self.sums[sum_of_all] += getattr(made, name)

    def report(self) -> dict[str, Any]:
        return {"pictures": self.pictures, **self.figures.report()}
