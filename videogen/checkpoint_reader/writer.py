"""Tensors of an archive as a safetensors file, written without torch and in the memory of one tensor."""

import json
import math
import struct
from collections.abc import Mapping
from itertools import product
from typing import BinaryIO, Literal, Protocol

from videogen.checkpoint_reader.pickle_names import ITEM_BYTES, TensorRef
from videogen.checkpoint_reader.refusal import Refused

FORMATS: dict[int, Literal["B", "H", "I", "Q"]] = {
    1: "B",
    2: "H",
    4: "I",
    8: "Q",
}  # of a memoryview whose items have so many bytes
COPIES = 2  # weights that share a storage are written in full; more than twice the file is no checkpoint
SPARE = 2**20  # bytes beside the weights


class Storages(Protocol):
    """A file with storages in it."""

    size: int

    def storage(self, key: str, size: int) -> memoryview:
        """The bytes of one storage; Refused unless it has this size."""


def output_limit(source_bytes: int) -> int:
    return COPIES * source_bytes + SPARE


def write_tensors(archive: Storages, tensors: Mapping[str, TensorRef], file: BinaryIO) -> None:
    """The storages are read in place; Refused if their tensors are larger than the file could hold."""
    order = sorted(tensors, key=lambda name: (-_item_bytes(tensors[name]), name))  # so every tensor is aligned
    header, end = {}, 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + _bytes(tensor)
        header[name] = {"dtype": tensor.storage.dtype, "shape": tensor.shape, "data_offsets": (begin, end)}
    if end > output_limit(archive.size):
        raise Refused(f"its tensors would take {end:,} bytes, from a file of {archive.size:,}")
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    storages: dict[str, memoryview] = {}
    for name in order:
        storage = tensors[name].storage
        if storage.key not in storages:
            storages[storage.key] = archive.storage(storage.key, storage.items * ITEM_BYTES[storage.dtype])
        file.write(_numbers(tensors[name], storages[storage.key]))


def _numbers(tensor: TensorRef, storage: memoryview) -> memoryview:
    """The bytes of the tensor in row-major order: of the storage itself where they lie so."""
    size, count = _item_bytes(tensor), math.prod(tensor.shape)
    if count == 0:
        return memoryview(b"")
    rows = _row_major(tensor.shape)
    if all(length == 1 or have == want for length, have, want in zip(tensor.shape, tensor.strides, rows, strict=True)):
        return storage[tensor.offset * size : (tensor.offset + count) * size]
    source = storage.cast(FORMATS[size])
    numbers = bytearray(count * size)
    copy = memoryview(numbers).cast(FORMATS[size])
    inner = max(range(len(tensor.shape)), key=lambda axis: tensor.shape[axis])  # few long copies, not many short ones
    length, have, want = tensor.shape[inner], tensor.strides[inner], rows[inner]
    others = [axis for axis in range(len(tensor.shape)) if axis != inner]
    for place in product(*(range(tensor.shape[axis]) for axis in others)):
        at = tensor.offset + sum(tensor.strides[axis] * index for axis, index in zip(others, place, strict=True))
        to = sum(rows[axis] * index for axis, index in zip(others, place, strict=True))
        copy[to : to + (length - 1) * want + 1 : want] = source[at : at + (length - 1) * have + 1 : have]
    return memoryview(numbers)


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _item_bytes(tensor: TensorRef) -> int:
    return ITEM_BYTES[tensor.storage.dtype]


def _bytes(tensor: TensorRef) -> int:
    return math.prod(tensor.shape) * _item_bytes(tensor)
