"""What a public network that measures videos is to this project."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from videogen.checkpoint_reader import Checkpoint
from videogen.models.hub import resolve_checkpoint

if TYPE_CHECKING:
    from videogen.checkpoint import Content


COUNTER = "num_batches_tracked"  # of batch norms: for training alone


@dataclass(frozen=True)
class PublicMeasure:
    """The published tensors of a source, and those of the network, without numbers; both by their published names."""

    variant: str
    checkpoint: Checkpoint
    network: Mapping[str, Tensor]
    files: "Mapping[str, Content]" = field(default_factory=dict)  # others of the folder


@dataclass(frozen=True)
class MeasureKind:
    source: str  # where its files are published
    licence: str  # of its weights
    ignored: tuple[str, ...]  # how names of tensors begin that are dropped, or the last parts of their names
    read: Callable[[Path, Mapping[str, str]], PublicMeasure]
    """(source, options); ValueError for options or files that are not those of the kind."""


def check_options(options: Mapping[str, str], known: tuple[str, ...] = ()) -> None:
    """ValueError for one that the kind does not have."""
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise ValueError(f"{unknown[0][:60]!a} is no option; there is {' and '.join(known) or 'none'}")


def option_path(options: Mapping[str, str], name: str) -> Path:
    """A further file of the source, here or on the hub."""
    return resolve_checkpoint(options[name])


def tensors_of(network: Any) -> dict[str, Tensor]:
    """Those that are stored: counters of batch norms are not."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}


def as_network(network: Any, weights: Mapping[str, Tensor]) -> Any:
    """The network with these weights, frozen; tensors that are not stored, such as counters, keep their values."""
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all(name.endswith(COUNTER) for name in missing), missing
    return network.eval().requires_grad_(False)
