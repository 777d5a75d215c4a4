"""Settings of decoders that are given a caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from interfaces.text import CaptionInput


@dataclass(frozen=True)
class FilmConfig:
    """The caption as one vector, which scales and shifts every channel of a frame (Perez et al., 2018)."""

    width: int  # of the embedded caption
    dropout: float  # share of clips whose caption is left out in training: what the decoder without one learns from
    input: CaptionInput | None = None  # training takes it from its `text`
    kind: Literal["film"] = "film"

    def __post_init__(self) -> None:
        _check(self.width, self.dropout)

    def check_channels(self, channels: Sequence[int]) -> None:
        """Decoders of any channels suit it."""


@dataclass(frozen=True)
class CrossAttentionConfig:
    """Every position of a frame attends to the tokens of the caption."""

    width: int  # of the embedded caption
    heads: int  # must divide the channels of each level of the decoder
    dropout: float  # share of clips whose caption is left out in training: what the decoder without one learns from
    input: CaptionInput | None = None  # training takes it from its `text`
    kind: Literal["cross_attention"] = "cross_attention"

    def __post_init__(self) -> None:
        _check(self.width, self.dropout)
        if self.heads < 1:
            raise ValueError(f"heads = {self.heads} must be at least 1")

    def check_channels(self, channels: Sequence[int]) -> None:
        """ValueError unless it suits a decoder that is given a caption where it has these channels."""
        if any(each % self.heads for each in channels):
            wide = ", ".join(map(str, channels))
            raise ValueError(f"condition has heads = {self.heads}, which must divide the decoder's channels, {wide}")


ConditionConfig: TypeAlias = FilmConfig | CrossAttentionConfig  # by `kind`


def _check(width: int, dropout: float) -> None:
    if width < 1:
        raise ValueError(f"width = {width} must be at least 1")
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout = {dropout:g} must lie in [0, 1]")
