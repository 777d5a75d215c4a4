"""What the web process knows of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prior.config import ControlConfig
from videogen.conditioning.prompt_vocabulary import PromptVocabulary


@dataclass(frozen=True)
class ModelInfo:
    """Made by the model process when it has loaded the model; most fields are public in `/v1/models`."""

    name: str
    objective: str  # "masked" or "autoregressive"
    text_conditioned: bool  # whether the model reads prompts
    playroom: bool  # whether it knows the playroom's words alone
    fps: float
    height: int  # of a frame
    width: int
    frames_per_latent: int  # of a latent frame after the first
    groups: tuple[tuple[int, ...], ...]  # shapes of the token groups of a latent frame
    default_frames: int
    window_seconds: float  # how much of its past the model sees
    frames_of_use: int  # how many of the last frames of a clip the model sees
    sampler: Mapping[str, Any]  # the model's own sampling settings
    examples: tuple[str, ...]  # prompts in the words of its training, if they are known
    device: str
    likelihood: bool = True  # whether its prior knows the probability of a token, which some orders need
    fingerprint: str = ""  # hash of the model's files
    mime: str = ""  # media type of a stream, with its codec
    prompt_vocabulary: PromptVocabulary | None = None
    control: ControlConfig | None = None  # what controls it takes

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> "ModelInfo":
        vocabulary, control = record["prompt_vocabulary"], record["control"]
        parsed = {
            "groups": tuple(tuple(shape) for shape in record["groups"]),
            "examples": tuple(record["examples"]),
            "prompt_vocabulary": None if vocabulary is None else PromptVocabulary.from_json(vocabulary),
            "control": None if control is None else ControlConfig(**control),
        }
        return ModelInfo(**{**record, **parsed})
