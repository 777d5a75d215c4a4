"""Public checkpoints as model folders: every tensor of the source is accounted for, every weight of ours filled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interfaces.foreign import is_ignored, shortened
from tokenizer.foreign import FOREIGN, ForeignKeysError, ForeignTokenizer
from videogen.checkpoint import write_folder
from videogen.checkpoint_reader import Checkpoint, read_checkpoint
from videogen.clip_spec import ClipSpec
from videogen.errors import CheckpointError, UsageError
from videogen.models.loading import load_tokenizer
from videogen.models.records import TokenizerModel
from videogen.models.registry import TOKENIZERS, kind_of
from videogen.models.saving import check_new, tokenizer_files


def convert_foreign(
    kind: str, source: Path, out: Path, clips: ClipSpec, options: Mapping[str, str], dtype: torch.dtype
) -> TokenizerModel:
    """Convert a checkpoint into the model folder `out`; a model that is there is replaced.

    `clips` are what commands take as the model's frame size, rate and length, because a checkpoint does not say them.
    """
    check_new(out)
    foreign = foreign_tokenizer(kind)
    checkpoint = read_checkpoint(source)
    _check_numbers(checkpoint.tensors, foreign, source)
    config, weights = _as_ours(kind, foreign, checkpoint.tensors, options, source)
    weights = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    _check_weights(weights, config, clips, source)
    card = model_card(kind, foreign, checkpoint, options, dtype)
    write_folder(out, tokenizer_files(config, clips, weights, card))
    return load_tokenizer(out)


def foreign_tokenizer(kind: str) -> ForeignTokenizer:
    """The entry of the registry; UsageError for a kind that is not there."""
    if kind not in FOREIGN:
        raise UsageError(f"KIND is {kind[:60]!a}; public checkpoints are of the kinds {', '.join(FOREIGN)}")
    return FOREIGN[kind]


def model_card(
    kind: str, foreign: ForeignTokenizer, checkpoint: Checkpoint, options: Mapping[str, str], dtype: torch.dtype
) -> str:
    """Where the weights come from, on what terms, and the bytes that they were read from."""
    given = ", ".join(f"{name}={value}" for name, value in options.items()) or "none"
    files = "".join(f"- {name!a}: `{digest}`\n" for name, digest in checkpoint.sha256.items())
    return (
        f"# {kind}\n\nA public tokenizer, converted by `videogen convert {kind}`.\n\n"
        f"- Source: {foreign.source}\n- Licence of the weights: {foreign.licence}\n- Options: {given}\n"
        f"- Stored as {str(dtype).removeprefix('torch.')}\n\nSHA-256 of the files that were read:\n\n{files}"
    )


def _as_ours(
    kind: str, foreign: ForeignTokenizer, tensors: Mapping[str, Tensor], options: Mapping[str, str], source: Path
) -> tuple[Any, dict[str, Tensor]]:
    try:
        config = foreign.config(tensors, options)
    except ValueError as error:
        raise UsageError(f"{source}: as {kind}: {error}") from None
    except (KeyError, IndexError, RuntimeError) as error:
        raise _other_names(kind, error, source) from None
    try:
        return config, foreign.weights(tensors, config)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise _other_names(kind, error, source) from None


def _other_names(kind: str, error: Exception, source: Path) -> CheckpointError:
    if isinstance(error, ForeignKeysError):
        counts = f"{len(error.missing)} missing, {len(error.unexpected)} unexpected"
        return CheckpointError(f"{source}: its tensors are not those of {kind} ({counts}): {error}")
    reason = (str(error).splitlines() or [""])[0][:200]
    return CheckpointError(f"{source}: its tensors are not those of {kind} ({type(error).__name__}: {reason})")


def _check_numbers(tensors: Mapping[str, Tensor], foreign: ForeignTokenizer, source: Path) -> None:
    used = {name: tensor for name, tensor in tensors.items() if not is_ignored(name, foreign.ignored)}
    wrong = [
        name for name, tensor in used.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if wrong:
        raise CheckpointError(f"{source}: {len(wrong)} tensors with NaN or infinity: {shortened(tuple(wrong))}")


def _check_weights(weights: Mapping[str, Tensor], config: Any, clips: ClipSpec, source: Path) -> None:
    """CheckpointError unless the weights are exactly those of the network; UsageError for clips that it cannot take."""
    with torch.device("meta"):  # no memory, no random numbers
        network: Any = TOKENIZERS[kind_of(config, TOKENIZERS)].make(config)
    ours = network.state_dict()
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
    try:
        network.spec(clips.height, clips.width)
    except ValueError as error:
        raise UsageError(f"--size {clips.height}x{clips.width}: {error}") from None
