"""What was coded, and what it took."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class CodecFigures:
    """What was coded, and what it took."""

    frames: int = 0
    latent_frames: int = 0
    scenes: int = 0
    bytes: int = 0  # of the whole file
    payload: int = 0  # of codes alone, without header, checks and counts
    seconds: dict[str, float] = field(default_factory=lambda: {"tokenizer": 0.0, "probabilities": 0.0, "coder": 0.0})

    def add_chunk(self, begins_scene: bool, latent_frames: int, frames: int, payload: int) -> None:
        self.scenes += begins_scene
        self.latent_frames += latent_frames
        self.frames += frames
        self.payload += payload

    def add_seconds(self, coder: float, whole: float) -> None:
        """Those of the coder, and the rest of the whole for the probabilities."""
        self.seconds["coder"] += coder
        self.seconds["probabilities"] += whole - coder

    def as_dict(self, pixels: int) -> dict[str, Any]:
        whole = max(1, self.frames * pixels)
        rates = {"bits_per_pixel": 8 * self.bytes / whole, "payload_bits_per_pixel": 8 * self.payload / whole}
        speed = self.latent_frames / max(1e-9, sum(self.seconds.values()))
        return {**vars(self), **rates, "latent_frames_per_second": speed}
