"""Opens a safetensors file after its header has been checked: the format leaves some of that to its readers."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from videogen.checkpoint_reader.pickle_names import ITEM_BYTES
from videogen.checkpoint_reader.refusal import MOST_DIMENSIONS, MOST_TENSORS, Refused, check_name
from videogen.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_HEADER = 64 * 2**20
METADATA = "__metadata__"
DTYPES = {  # of torch
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8"},
}


def load_tensors(path: Path, shown: Path) -> "dict[str, Tensor]":
    """All tensors of the file, mapped into memory; `shown` is its name in messages."""
    try:
        with path.open("rb") as file:
            check_header(file)
    except Refused as error:
        raise CheckpointError(f"{shown}: {error}") from None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{shown}: not a safetensors file ({str(error)[:200]!a})") from None


def read_tensors(path: Path) -> "Iterator[tuple[str, Tensor]]":
    """The tensors in the order of the file, each read into memory of its own and forgotten here.

    Of a mapped file, the pages stay in memory beside what is made of them.
    """
    import torch

    try:
        with path.open("rb") as file:
            header = check_header(file)
            for name, entry in sorted(header.items(), key=lambda each: each[1]["data_offsets"]):
                tensor = torch.empty(entry["shape"], dtype=getattr(torch, DTYPES[entry["dtype"]]))
                if tensor.numel():
                    file.readinto(tensor.flatten().view(torch.uint8).numpy())  # type: ignore[arg-type]
                yield name, tensor
    except Refused as error:
        raise CheckpointError(f"{path}: {error}") from None


def check_header(file: BinaryIO) -> dict[str, Any]:
    """Refused unless every byte of the file belongs to exactly one tensor with a name, a type and a shape to match.

    Returns the entries by name; the file is left at its first tensor.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise Refused(f"no safetensors file: its header would have {length:,} bytes, the file has {size:,}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        raise Refused("no safetensors file: its header is not JSON") from None
    if not isinstance(header, dict):
        raise Refused("no safetensors file: its header is no JSON object")
    header.pop(METADATA, None)
    if not 0 < len(header) <= MOST_TENSORS:
        raise Refused(f"it holds {len(header):,} tensors; 1 to {MOST_TENSORS:,} are read")
    end = 0
    for begin, stop, name in sorted(_extent(name, entry) for name, entry in header.items()):
        if begin != end:
            raise Refused(f"the tensor {name!a} begins at byte {begin:,}; the one before it ends at {end:,}")
        end = stop
    if end != size - 8 - length:
        raise Refused(f"its tensors have {end:,} bytes; the file holds {size - 8 - length:,}")
    return header


def _extent(name: str, entry: Any) -> tuple[int, int, str]:
    check_name(name)
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if len(entry) == 3:
            pass
        case _:
            raise Refused(f"the tensor {name!a} has no dtype, shape and data_offsets")
    if dtype not in ITEM_BYTES:
        raise Refused(f"the tensor {name!a} is of type {dtype[:20]!a}; read are {', '.join(ITEM_BYTES)}")
    if len(shape) > MOST_DIMENSIONS or not all(type(length) is int and 0 <= length < 2**50 for length in shape):
        raise Refused(f"the tensor {name!a} has the shape {str(shape)[:60]}")
    if begin < 0 or end - begin != (needed := math.prod(shape) * ITEM_BYTES[dtype]):
        raise Refused(f"the tensor {name!a} has {end - begin:,} bytes; its shape needs {needed:,}")
    return begin, end, name


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for number, name in enumerate(names) if name in names[:number])
        raise Refused(f"the name {twin[:60]!a} is there twice")
    return found
