"""What clients ask for, what they can know of the model beforehand, and the ways in which they are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.errors import VideogenError

Transition = Literal["recache", "cut"]


@dataclass(frozen=True)
class Beginning:
    """Pictures that a video goes on from, as the model sees them: of its size and at its frame rate."""

    kind: Literal["video", "image"]
    pictures: bytes = field(repr=False)  # uint8 [count, height, width, 3]
    count: int
    note: str = ""  # what became of the upload on the way, for people; empty: nothing


@dataclass(frozen=True)
class Wish:
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
    beginning: Beginning | None = None
    find_prompt: bool = False  # none was given: what the beginning shows is to be its prompt


@dataclass(frozen=True)
class ModelInfo:
    """What can be known of a model without asking it for anything."""

    name: str
    objective: str  # "masked" or "next"
    told: bool  # whether it was taught with text: without, prompts change nothing
    playroom: bool  # whether it brings a vocabulary of the playroom, and knows nothing else
    fps: float
    height: int  # of a picture
    width: int
    f_t: int  # pictures of a latent frame, but for the first
    grid: tuple[int, int]  # tokens of a latent frame
    default_frames: int  # pictures
    window_seconds: float  # how far back it sees
    pictures_of_use: int  # of a clip that is to be continued: its last so many
    sampler: Mapping[str, Any]  # the settings that hold where a wish says nothing
    examples: tuple[str, ...]  # prompts from the model's own world, where it has one
    device: str
    fingerprint: str = ""  # of all files of the model
    mime: str = ""  # of the film of a stream, with its codecs
    prompt_vocabulary: PromptVocabulary | None = None  # where the model brings one

    @staticmethod
    def of(described: Mapping[str, Any]) -> "ModelInfo":
        """Out of plain JSON."""
        vocabulary = described["prompt_vocabulary"]
        records = {
            "grid": tuple(described["grid"]),
            "examples": tuple(described["examples"]),
            "prompt_vocabulary": None if vocabulary is None else PromptVocabulary.from_json(vocabulary),
        }
        return ModelInfo(**{**described, **records})


class Refusal(VideogenError):  # noqa: N818 - a state, not a mistake
    """A wish that is not granted; one line for the client."""


class WishError(Refusal):
    """Something that cannot be had, and which part of the wish it is about."""

    def __init__(self, param: str | None, message: str):
        super().__init__(message)
        self.param, self.message = param, message


class Busy(Refusal):
    """Not now; perhaps after so many seconds."""

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.message, self.retry_after = message, retry_after


class Gone(Refusal):
    """No stream and no job of that name, or none any more."""


class UploadError(Refusal):
    """A clip or a picture that cannot be used."""


class UploadTooLarge(UploadError):  # noqa: N818
    """One with more bytes than are taken."""
