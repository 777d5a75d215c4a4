"""What clients ask for."""

from dataclasses import dataclass, field
from typing import Literal

Transition = Literal["recache", "cut"]


@dataclass(frozen=True)
class InitialFrames:
    """Pictures that a video goes on from, as the model sees them: of its size and at its frame rate."""

    kind: Literal["video", "image"]
    pictures: bytes = field(repr=False)  # uint8 [count, height, width, 3]
    count: int
    note: str = ""  # what became of the upload on the way, for people; empty: nothing


@dataclass(frozen=True)
class GenerationParams:
    """One video; what is None is as the model's own settings have it."""

    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None  # None: drawn
    steps: int | None = None
    order: str | None = None
    guidance_scale: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    transition: Transition = "recache"  # how later prompts take over
    frames: int | None = None  # None: a stream is endless, a job as long as the clips of training
    initial_frames: InitialFrames | None = None
    infer_prompt: bool = False  # none was given: what the beginning shows is to be its prompt
