"""What a client asks for: one record from HTTP to the model process."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Transition = Literal["recache", "cut"]


@dataclass(frozen=True)
class InitialFrames:
    """The frames that a video continues or starts with, at the model's frame size and rate."""

    kind: Literal["video", "image"]
    pixels: bytes = field(repr=False)  # uint8 [count, height, width, 3]; empty once the model process has them
    count: int
    note: str = ""  # how the upload was changed, in words; empty: not at all


@dataclass(frozen=True)
class GenerationParams:
    """One video; None leaves a choice to the server."""

    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    frames: int | None = None  # by default a stream runs to its limit, and a job is as long as the training clips
    sampling: Mapping[str, Any] = field(default_factory=dict)  # settings of SamplerConfig that replace the model's own
    transition: Transition = "recache"  # how a later prompt takes over
    initial_frames: InitialFrames | None = None
    infer_prompt: bool = False  # take the prompt from the initial frames
    control: Any = None  # of the new latent frames; see `videogen.control_plan`

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without the pixels."""
        initial = self.initial_frames
        plain = None if initial is None else {"kind": initial.kind, "count": initial.count, "note": initial.note}
        return {part.name: getattr(self, part.name) for part in fields(self)} | {"initial_frames": plain}

    @staticmethod
    def from_json(record: Mapping[str, Any], pixels: bytes) -> "GenerationParams":
        """TypeError for a record that `to_json` did not make."""
        initial = record.get("initial_frames")
        frames = None if initial is None else InitialFrames(pixels=pixels, **initial)
        return GenerationParams(**{**record, "initial_frames": frames})
