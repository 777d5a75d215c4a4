"""Public weights of a measure as a folder: every tensor of the source is accounted for, every weight is there."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from interfaces.foreign import ForeignKeysError, take_weights
from videogen.checkpoint import Folder, write_folder
from videogen.errors import UsageError
from videogen.models.foreign_weights import as_stored, check_numbers, check_tensors, model_card, other_names
from videogen.models.measures.folder import FORMAT, INDEX, VERSION, WEIGHTS
from videogen.models.measures.registry import MEASURES
from videogen.models.saving import check_new


def convert_measure(kind: str, source: Path, out: Path, options: Mapping[str, str], dtype: torch.dtype) -> Folder:
    """Writes the folder `out`; a measure or model that is there is replaced."""
    check_new(out)
    measure = MEASURES[kind]
    try:
        found = measure.read(source, options)
    except ValueError as error:
        raise UsageError(f"{source}: as {kind}: {error}") from None
    check_numbers(found.checkpoint.tensors, measure, source)
    try:
        tensors = take_weights(found.checkpoint.tensors, {name: name for name in found.network}, measure.ignored)
    except ForeignKeysError as error:
        raise other_names(kind, error, source) from None
    weights = as_stored(tensors, dtype)
    check_tensors(weights, found.network, source)
    index = {"format": FORMAT, "version": VERSION, "kind": kind, "variant": found.variant}
    card = model_card(kind, "measure of videos", measure, found.checkpoint, options, dtype)
    return write_folder(out, {**found.files, INDEX: index, WEIGHTS: weights, "README.md": card})


def parameters_of(folder: Folder) -> int:
    return sum(math.prod(tensor.shape) for tensor in folder.tensors(WEIGHTS).values())
