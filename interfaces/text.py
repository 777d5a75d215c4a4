"""The text that a network reads; importing this module must not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CaptionInput:
    """Captions: ids of a small vocabulary, or features of a frozen encoder."""

    length: int  # tokens of a caption, padded or cut to it
    vocabulary: int | None = None
    features: int | None = None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length = {self.length} must be at least 1")
        if (self.vocabulary is None) == (self.features is None):
            raise ValueError("vocabulary and features are two ways to give text: set one of them")
