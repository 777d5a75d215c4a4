"""What a public tokenizer of others is to this project: its configuration and its weights under our names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:  # the networks of this folder are among the kinds of tokenizers, which are imported first
    from tokenizer.networks.kinds import TokenizerConfig

NAMES_SHOWN = 5


@dataclass(frozen=True)
class ForeignTokenizer:
    """A source is all published tensors by their published names, those of several files together."""

    source: str  # where its files are published
    licence: str  # of its weights
    ignored: tuple[str, ...]  # how names of tensors begin that are dropped, or the last parts of their names
    config: "Callable[[Mapping[str, Tensor], Mapping[str, str]], TokenizerConfig]"
    """(source, options) -> what shapes tell, and options what shapes do not; ValueError for an option that is wrong."""
    weights: Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]
    """(source, its config) -> all weights of our network; ForeignKeysError if the source has other names."""


class ForeignKeysError(KeyError):
    """The tensors of a source are not those of the tokenizer: `missing` and `unexpected` are their published names."""

    def __init__(self, missing: Iterable[str], unexpected: Iterable[str]):
        self.missing, self.unexpected = tuple(missing), tuple(unexpected)
        super().__init__(self.missing, self.unexpected)

    def __str__(self) -> str:
        groups = {"missing": self.missing, "unexpected": self.unexpected}
        return "; ".join(f"{what} tensors: {shortened(names)}" for what, names in groups.items() if names)


def take_weights(source: Mapping[str, Tensor], names: Mapping[str, str], ignored: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of the source by our names; `names` maps each name of ours to the published one.

    ForeignKeysError unless each published name is there, and every other tensor of the source is one to ignore.
    """
    published = set(names.values())
    missing = [name for name in names.values() if name not in source]
    unexpected = [name for name in source if name not in published and not is_ignored(name, ignored)]
    if missing or unexpected:
        raise ForeignKeysError(missing, unexpected)
    return {ours: source[theirs] for ours, theirs in names.items()}


def shape_of(source: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """The shape of a published tensor; ForeignKeysError if it is not there."""
    if name not in source:
        raise ForeignKeysError([name], [])
    return source[name].shape


def is_ignored(name: str, ignored: tuple[str, ...]) -> bool:
    return name.startswith(ignored) or name.rpartition(".")[2] in ignored


def shortened(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
