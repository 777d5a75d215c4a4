"""What public weights of others are to this project, and strict accounting of their tensors.

A source is all published tensors by their published names, those of several files together.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from interfaces.tokens import TokenSpec

NAMES_SHOWN = 5


@dataclass(frozen=True)
class PublishedClips:
    """The clips that a public model is for, where nobody says otherwise; a checkpoint does not tell them."""

    height: int = 256
    width: int = 256
    fps: float = 24.0
    frames: int = 17


@dataclass(frozen=True)
class ForeignModel:
    """A public model of others."""

    source: str  # where its files are published
    licence: str  # of its weights
    ignored: tuple[str, ...]  # how names of tensors begin that are dropped, or the last parts of their names
    config: Callable[..., Any]
    """What shapes tell, and options what shapes do not; ValueError for an option that is wrong."""
    weights: "Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]"
    """(source, its config) -> all weights of our network; ForeignKeysError if the source has other names."""
    clips: PublishedClips = field(default=PublishedClips(), kw_only=True)


@dataclass(frozen=True)
class ForeignTokenizer(ForeignModel):
    """A public tokenizer; `config` takes (source, options)."""


@dataclass(frozen=True)
class PriorSource:
    """What the configuration of a prior is made of."""

    tensors: "Mapping[str, Tensor]"
    settings: Mapping[str, Any]  # its config.json
    spec: "TokenSpec"  # of the tokenizer that it is converted with
    clips: PublishedClips


@dataclass(frozen=True)
class PromptFormat:
    """How a prior was told what to generate: words around a caption, and tokens around those."""

    template: str  # with {caption} in it
    first: str  # the name of the token before all
    last: str
    ids: Mapping[str, int]  # of tokens with a meaning of their own; the tokenizer of the text must agree


@dataclass(frozen=True)
class ForeignPrior(ForeignModel):
    """A public prior; `config` takes a `PriorSource` and options."""

    prompt: Callable[[Any, int, int], PromptFormat]  # of its config, the height and the width of frames
    sampler: Mapping[str, Any]  # settings of `sampling.config.SamplerConfig` that it was published with


class OtherModelError(ValueError):
    """A source is of another model than the kind says, whatever the options."""


class ForeignKeysError(KeyError):
    """The tensors of a source are not those of the model: `missing` and `unexpected` are their published names."""

    def __init__(self, missing: Iterable[str], unexpected: Iterable[str]):
        self.missing, self.unexpected = tuple(missing), tuple(unexpected)
        super().__init__(self.missing, self.unexpected)

    def __str__(self) -> str:
        groups = {"missing": self.missing, "unexpected": self.unexpected}
        return "; ".join(f"{what} tensors: {shortened(names)}" for what, names in groups.items() if names)


def take_weights(
    source: "Mapping[str, Tensor]", names: Mapping[str, str], ignored: tuple[str, ...]
) -> "dict[str, Tensor]":
    """The tensors of the source by our names; `names` maps each name of ours to the published one.

    ForeignKeysError unless each published name is there, and every other tensor of the source is one to ignore.
    """
    published = set(names.values())
    missing = [name for name in names.values() if name not in source]
    unexpected = [name for name in source if name not in published and not is_ignored(name, ignored)]
    if missing or unexpected:
        raise ForeignKeysError(missing, unexpected)
    return {ours: source[theirs] for ours, theirs in names.items()}


def shape_of(source: "Mapping[str, Tensor]", name: str) -> tuple[int, ...]:
    """The shape of a published tensor; ForeignKeysError if it is not there."""
    if name not in source:
        raise ForeignKeysError([name], [])
    return source[name].shape


def is_ignored(name: str, ignored: tuple[str, ...]) -> bool:
    return name.startswith(ignored) or name.rpartition(".")[2] in ignored


def whole_number(name: str, text: str) -> int:
    """The number that an option gives; ValueError for another text."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} = {text}: expected a whole number") from None


def shortened(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
