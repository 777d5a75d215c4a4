"""ClipSpec: the frame size, frame rate and length of clips that a model is trained on or a data set is cut into."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipSpec:
    """Height and width in pixels, frames a second, and frames of a clip."""

    height: int
    width: int
    fps: float
    frames: int

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.fps < float("inf"):
            raise ValueError(f"fps is {self.fps}; it must be above 0")
