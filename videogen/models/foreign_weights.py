"""Public weights under our names: every tensor of the source is accounted for, every weight of ours filled."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from interfaces.foreign import ForeignKeysError, OtherModelError, is_ignored, shortened
from videogen.checkpoint_reader import Checkpoint
from videogen.errors import CheckpointError, UsageError
from videogen.models.registry import Kind, kind_of


class Published(Protocol):
    """What is known of public weights, whatever they are of."""

    @property
    def source(self) -> str:
        """Where the files are published."""

    @property
    def licence(self) -> str:
        """Of the weights."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """How names of tensors begin that are dropped, or the last parts of their names."""


def as_stored(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def model_card(
    kind: str, what: str, foreign: Published, checkpoint: Checkpoint, options: Mapping[str, str], dtype: torch.dtype
) -> str:
    """Where the weights come from, on what terms, and the bytes that they were read from."""
    given = ", ".join(f"{name}={value}" for name, value in options.items()) or "none"
    files = "".join(f"- {name!a}: `{digest}`\n" for name, digest in checkpoint.sha256.items())
    return (
        f"# {kind}\n\nA public {what}, converted by `videogen convert {kind}`.\n\n"
        f"- Source: {foreign.source}\n- Licence of the weights: {foreign.licence}\n- Options: {given}\n"
        f"- Stored as {str(dtype).removeprefix('torch.')}\n\nSHA-256 of the files that were read:\n\n{files}"
    )


def as_ours(
    kind: str, source: Path, make_config: Callable[[], Any], make_weights: Callable[[Any], dict[str, Tensor]]
) -> tuple[Any, dict[str, Tensor]]:
    """The configuration and the weights; UsageError for what options say, CheckpointError for other tensors."""
    try:
        config = make_config()
    except OtherModelError as error:
        raise CheckpointError(f"{source}: is no {kind}: {error}") from None
    except ValueError as error:
        raise UsageError(f"{source}: as {kind}: {error}") from None
    except (KeyError, IndexError, RuntimeError) as error:
        raise other_names(kind, error, source) from None
    try:
        return config, make_weights(config)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise other_names(kind, error, source) from None


def other_names(kind: str, error: Exception, source: Path) -> CheckpointError:
    if isinstance(error, ForeignKeysError):
        counts = f"{len(error.missing)} missing, {len(error.unexpected)} unexpected"
        return CheckpointError(f"{source}: its tensors are not those of {kind} ({counts}): {error}")
    reason = (str(error).splitlines() or [""])[0][:200]
    return CheckpointError(f"{source}: its tensors are not those of {kind} ({type(error).__name__}: {reason})")


def check_numbers(tensors: Mapping[str, Tensor], foreign: Published, source: Path) -> None:
    used = {name: tensor for name, tensor in tensors.items() if not is_ignored(name, foreign.ignored)}
    wrong = [
        name for name, tensor in used.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if wrong:
        raise CheckpointError(f"{source}: {len(wrong)} tensors with NaN or infinity: {shortened(tuple(wrong))}")


def check_weights(weights: Mapping[str, Tensor], config: Any, kinds: dict[str, Kind], source: Path) -> Any:
    """The network without weights; CheckpointError unless the given ones are exactly its own."""
    with torch.device("meta"):  # no memory, no random numbers
        network: Any = kinds[kind_of(config, kinds)].make(config)
    check_tensors(weights, network.state_dict(), source)
    return network


def check_tensors(weights: Mapping[str, Tensor], ours: Mapping[str, Tensor], source: Path) -> None:
    """CheckpointError unless both have the same names, shapes and types, and the weights are numbers."""
    missing, extra = sorted(ours.keys() - weights.keys()), sorted(weights.keys() - ours.keys())
    if missing or extra:
        raise CheckpointError(f"{source}: {ForeignKeysError(missing, extra)}")
    for name, tensor in weights.items():
        if tensor.shape != ours[name].shape:
            shapes = f"shape {list(tensor.shape)}; expected {list(ours[name].shape)}"
            raise CheckpointError(f"{source}: the tensor for {name} has the {shapes}")
        if tensor.is_floating_point() != ours[name].is_floating_point():
            types = f"{tensor.dtype}; expected {ours[name].dtype}".replace("torch.", "")
            raise CheckpointError(f"{source}: the tensor for {name} is of type {types}")
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{source}: the tensor for {name} has numbers too large for its type, {tensor.dtype}")
