"""Checkpoints that torch wrote before version 1.6, as many public backbones still are."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.checkpoint_reader.archives import FOUR, WEIGHTS, mapping, name, old_archive, pickled, tensor, value
from videogen.checkpoint_reader import read_checkpoint
from videogen.errors import CheckpointError


def save(path: Path, weights: object, protocol: int = 2) -> Path:
    torch.save(weights, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_of_all_types_and_strides_come_back(protocol: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shared = torch.rand(4, 6)
    weights: dict[str, Tensor] = {
        "features.0.weight": torch.rand(3, 2, 2, 2).contiguous(memory_format=torch.channels_last),
        "features.0.bias": torch.rand(3).to(torch.bfloat16),
        "rows": shared[1:3],
        "columns": shared.T,
        "steps": torch.arange(5),
        "flags": torch.tensor([True, False]),
        "double": torch.rand(2, dtype=torch.float64),
        "scalar": torch.tensor(3.0),
    }
    read = read_checkpoint(save(tmp_path / "old.pth", {"state_dict": weights}, protocol)).tensors
    assert read.keys() == weights.keys()
    for key, wanted in weights.items():
        assert read[key].dtype == wanted.dtype, key
        assert torch.equal(read[key], wanted), key


def test_a_mapping_as_python_2_wrote_it(tmp_path: Path) -> None:
    """An OrderedDict with its entries as an argument, and tensors by the function of the first versions."""
    old = tensor().replace(b"_rebuild_tensor_v2", b"_rebuild_tensor").replace(
        b"\x89" + name("collections", "OrderedDict") + b")R", b""
    )  # fmt: skip
    entries = b"](]" + b"(" + value("weight") + old + b"ee"
    path = old_archive(
        tmp_path / "two.pth",
        pickled(name("collections", "OrderedDict") + entries + b"\x85R"),
        storages=struct.pack("<q4f", 4, 1, 2, 3, 4),
    )
    assert read_checkpoint(path).tensors["weight"].tolist() == [1, 2, 3, 4]


CUT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "within a storage": (lambda raw: raw[:-3], "ends within the storage"),
    "within a pickle": (lambda raw: raw[:40], "is damaged"),
    "more at its end": (lambda raw: raw + b"more", "its storages end at byte"),
}


@pytest.mark.parametrize("how", CUT)
def test_a_damaged_file_is_refused(how: str, tmp_path: Path) -> None:
    path = save(tmp_path / "old.pth", {"weight": torch.ones(4)})
    change, said = CUT[how]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"first": 1}, "not one of torch.save"),
        ({"version": 1000}, "not that of torch before"),
        ({"facts": {"little_endian": False}}, "big-endian"),
        ({"keys": ()}, "not those that its tensors refer to"),
        ({"keys": ("0", "0")}, "not those that its tensors refer to"),
        ({"keys": "0"}, "list of storages is damaged"),
        ({"storages": struct.pack("<q", 3) + FOUR}, "another size"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, object], said: str, tmp_path: Path) -> None:
    assert read_checkpoint(old_archive(tmp_path / "good.pth", WEIGHTS)).tensors["weight"].shape == (4,)
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(old_archive(tmp_path / "bad.pth", WEIGHTS, **parts))  # type: ignore[arg-type]


def test_a_mapping_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    pairs = b"](" + 2 * (b"](" + value("weight") + tensor() + b"e") + b"e"
    root = pickled(name("collections", "OrderedDict") + pairs + b"\x85R")
    with pytest.raises(CheckpointError, match="different names"):
        read_checkpoint(old_archive(tmp_path / "bad.pth", root))


def test_a_part_of_a_storage_is_refused(tmp_path: Path) -> None:
    """What the sixth value of a storage says: the first versions of torch alone wrote it."""
    stored = b"(" + value("storage") + name("torch", "FloatStorage") + value("0") + value("cpu") + value(4)
    whole = pickled(mapping(("weight", tensor(stored + b"NtQ"))))
    assert read_checkpoint(old_archive(tmp_path / "whole.pth", whole)).tensors["weight"].shape == (4,)
    part = pickled(mapping(("weight", tensor(stored + value(("1", 0, 2)) + b"tQ"))))
    with pytest.raises(CheckpointError, match="no storage of plain numbers"):
        read_checkpoint(old_archive(tmp_path / "part.pth", part))
