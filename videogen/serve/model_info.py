"""What a server knows of its model without asking it for anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from videogen.conditioning.prompt_vocabulary import PromptVocabulary


@dataclass(frozen=True)
class ModelInfo:
    """What can be known of a model without asking it for anything."""

    name: str
    objective: str  # "masked" or "autoregressive"
    told: bool  # whether it was taught with text: without, prompts change nothing
    playroom: bool  # whether it brings a vocabulary of the playroom, and knows nothing else
    fps: float
    height: int  # of a picture
    width: int
    frames_per_latent: int  # but for the first
    groups: tuple[tuple[int, ...], ...]  # shapes of the groups of tokens of a latent frame
    default_frames: int  # pictures
    window_seconds: float  # how far back it sees
    frames_of_use: int  # of a clip that is to be continued: its last so many
    sampler: Mapping[str, Any]  # the settings that hold where a params says nothing
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
            "groups": tuple(tuple(shape) for shape in described["groups"]),
            "examples": tuple(described["examples"]),
            "prompt_vocabulary": None if vocabulary is None else PromptVocabulary.from_json(vocabulary),
        }
        return ModelInfo(**{**described, **records})
