"""Checkpoints as training frameworks write them come back as the same tensors by the same names."""

import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.checkpoint_reader.archives import archive, mapping, pickled, storage, tensor
from videogen.checkpoint_reader import read_checkpoint
from videogen.errors import CheckpointError, UsageError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 3)
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.LayerNorm(2)])
        self.small = nn.Parameter(torch.rand(3).to(torch.bfloat16))
        self.register_buffer("steps", torch.arange(4))
        self.sizes = [1, 2]
        self.tied = self.layers[0]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    made = Net()
    made.conv.weight.data = made.conv.weight.data.contiguous(memory_format=torch.channels_last_3d)
    return made


def assert_same(path: Path, expected: "dict[str, Tensor]") -> None:
    read = read_checkpoint(path).tensors
    assert read.keys() == expected.keys()
    for name, wanted in expected.items():
        assert read[name].dtype == wanted.dtype, name
        assert torch.equal(read[name], wanted), name


def test_a_lightning_checkpoint_is_its_state_dict(net: Net, tmp_path: Path) -> None:
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    around = {
        "epoch": 3,
        "pytorch-lightning_version": "2.1.0",
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {"shape": torch.Size([1]), "dtype": torch.bfloat16, "device": torch.device("cpu")},
        "callbacks": {"ModelCheckpoint": {"best": torch.tensor(1.0), "seen": {1, 2}, "path": Path("a")}},
        "loops": OrderedDict(state={}),
    }
    path = tmp_path / "last.ckpt"
    for protocol in (2, 3, 4, 5):
        torch.save({**around, "state_dict": net.state_dict()}, path, pickle_protocol=protocol)
        assert_same(path, net.state_dict())
    assert dict(read_checkpoint(path).sha256) == {"last.ckpt": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_weights_alone_and_in_mappings(net: Net, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "plain.pt")
    assert_same(tmp_path / "plain.pt", net.state_dict())
    torch.save({"model": {"net": dict(net.named_parameters())}}, tmp_path / "nested.pth")
    assert_same(tmp_path / "nested.pth", {f"net.{name}": each.data for name, each in net.named_parameters()})


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_archive_is_read_without_its_code(net: Net, tmp_path: Path) -> None:
    scripted = torch.jit.script(net)
    scripted.save(str(tmp_path / "net.jit"))
    assert_same(tmp_path / "net.jit", net.state_dict())
    traced = torch.jit.trace(net, torch.rand(1, 2))
    traced.save(str(tmp_path / "traced.jit"))
    assert_same(tmp_path / "traced.jit", net.state_dict())


def test_views_of_any_strides_are_written_in_order(tmp_path: Path) -> None:
    numbers = torch.arange(120, dtype=torch.int16)
    grid = numbers.view(2, 3, 4, 5)
    views = {
        "permuted": grid.permute(3, 1, 0, 2),
        "sliced": grid[1, :, ::2, 1:4],
        "windows": numbers.as_strided((3, 4), (2, 1), 5),
        "scalar": grid[1, 2, 3, 4],
        "empty": grid[:, :0],
    }
    torch.save(views, tmp_path / "views.pt")
    assert_same(tmp_path / "views.pt", views)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32", "int8", "uint8", "bool"])
def test_every_plain_type(dtype: str, tmp_path: Path) -> None:
    numbers = torch.arange(6).to(getattr(torch, dtype)).view(2, 3).T
    torch.save({"numbers": numbers}, tmp_path / "numbers.pt")
    assert_same(tmp_path / "numbers.pt", {"numbers": numbers})


def test_safetensors_with_and_without_an_index(tmp_path: Path) -> None:
    whole = {f"layer.{number}": torch.rand(number + 1, 3) for number in range(4)}
    save_file(whole, tmp_path / "one.safetensors", {"format": "pt"})
    assert_same(tmp_path / "one.safetensors", whole)
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = list(whole)
    places = {name: f"model-0000{1 + number // 2}-of-00002.safetensors" for number, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({name: whole[name] for name in names if places[name] == shard}, folder / shard)
    assert_same(folder, whole)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert_same(folder, whole)
    assert set(read_checkpoint(folder).sha256) == {*places.values(), index.name}
    index.write_text(json.dumps({"weight_map": {**places, names[0]: places[names[3]]}}))
    with pytest.raises(CheckpointError, match=r"layer\.0' is in 'model-00002"):
        read_checkpoint(folder)
    index.write_text(json.dumps({"weight_map": {**places, "layer.9": places[names[0]]}}))
    with pytest.raises(CheckpointError, match=r"layer\.9.* no file"):
        read_checkpoint(folder)


def test_an_encoder_and_a_decoder_are_one_checkpoint(tmp_path: Path) -> None:
    shared, numbers = torch.rand(2), [torch.rand(3) for _ in range(3)]
    torch.save({"a.weight": numbers[0], "quant.weight": shared}, tmp_path / "encoder.pt")
    torch.save({"decoder.a": numbers[1], "quant.weight": numbers[2]}, tmp_path / "decoder.pt")
    torch.save({"other": shared}, tmp_path / "autoencoder.pt")
    expected = {"encoder.a.weight": numbers[0], "encoder.quant.weight": shared}
    assert_same(tmp_path, {**expected, "decoder.a": numbers[1], "quant.weight": numbers[2]})
    torch.save({"encoder.a": numbers[0], "quant.weight": shared}, tmp_path / "encoder.pt")
    with pytest.raises(CheckpointError, match=r"quant\.weight is in another file too"):
        read_checkpoint(tmp_path)
    torch.save({"decoder.a": numbers[1], "quant.weight": shared}, tmp_path / "decoder.pt")
    assert_same(tmp_path, {"encoder.a": numbers[0], "decoder.a": numbers[1], "quant.weight": shared})
    (tmp_path / "decoder.pt").unlink()
    with pytest.raises(CheckpointError, match="needs one encoder and one decoder"):
        read_checkpoint(tmp_path)


def test_a_path_that_says_too_little(tmp_path: Path) -> None:
    for name in ("a.ckpt", "b.ckpt"):
        archive(tmp_path / name)
    with pytest.raises(UsageError, match=r"a\.ckpt, b\.ckpt; name one"):
        read_checkpoint(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read_checkpoint(tmp_path / "nothing.ckpt")
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(UsageError, match="does not end in"):
        read_checkpoint(tmp_path / "a.npz")


def test_archives_made_by_hand_are_read(tmp_path: Path) -> None:
    """What the hostile ones are made of is right by itself."""
    path = archive(tmp_path / "hand.ckpt", version=b"3\n", byteorder=b"little")
    assert_same(path, {"weight": torch.zeros(4)})
    tied = pickled(mapping(("a", tensor(storage())), ("b", tensor(storage(), 1, (3,)))))
    assert_same(archive(tmp_path / "tied.ckpt", tied), {"a": torch.zeros(4), "b": torch.zeros(3)})
