"""`videogen convert KIND SOURCE OUT`, with a public tokenizer that is one of ours under other names."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from interfaces.foreign import take_weights
from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import noise_clip, small_config, small_model
from tokenizer.foreign import FOREIGN, ForeignTokenizer
from videogen.cli import main
from videogen.io import write_video
from videogen.models import load_tokenizer, resolve_checkpoint

MODEL = small_model(small_config())
BUFFER = "net.quantizer._levels"


def config_of(source: Mapping[str, Tensor], options: Mapping[str, str]):  # type: ignore[no-untyped-def]
    if options.get("version") not in (None, "1.0"):
        raise ValueError(f"version is {options['version']}; there is only 1.0")
    return small_config()


def weights_of(source: Mapping[str, Tensor], config: object) -> dict[str, Tensor]:
    return take_weights(source, {name: f"net.{name}" for name in MODEL.state_dict()}, ("loss.", "_levels"))


@pytest.fixture(autouse=True)
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ForeignTokenizer("https://example.org/fake", "MIT", ("loss.", "_levels"), config_of, weights_of)
    monkeypatch.setitem(FOREIGN, "fake", entry)


def published() -> dict[str, Tensor]:
    weights = {f"net.{name}": tensor.clone() for name, tensor in MODEL.state_dict().items()}
    return {**weights, "loss.discriminator": torch.full((3,), torch.nan), BUFFER: torch.tensor([8, 5, 5, 5])}


def save(place: Path, weights: Mapping[str, Tensor]) -> Path:
    torch.save({"epoch": 1, "state_dict": dict(weights)}, place)
    return place


def convert(source: Path, out: Path, *more: str) -> int:
    return main(["convert", "fake", str(source), str(out), *more])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("source") / "last.ckpt", published())


def test_the_model_is_the_published_one(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    options = ["version=1.0", "--size", "32x48", "--fps", "8", "--frames", "9", "--json"]
    assert convert(source, out, *options) == 0
    said = json.loads(capsys.readouterr().out)
    model = load_tokenizer(out)
    assert said["fingerprint"] == model.fingerprint
    assert said["parameters"] == sum(each.numel() for each in MODEL.parameters())
    assert (model.clips.height, model.clips.width, model.clips.fps, model.clips.frames) == (32, 48, 8.0, 9)
    for name, tensor in MODEL.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor), name
    clip = noise_clip(1, 6, 16, 16)
    assert torch.equal(encode_clip(model.network, clip), encode_clip(MODEL, clip))
    card = (out / "README.md").read_text()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    for words in ("https://example.org/fake", "MIT", "version=1.0", "last.ckpt", digest, "float32"):
        assert words in card
    assert {path.suffix for path in out.rglob("*") if path.is_file()} <= {".json", ".md", ".safetensors"}


def test_commands_work_on_the_model(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(source, tmp_path / "model", "--size", "16x16", "--fps", "8", "--frames", "5") == 0
    (tmp_path / "data").mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    write_video(tmp_path / "data" / "clip.mp4", frames, fps=8)
    model = str(tmp_path / "model")
    assert main(["info", model]) == 0
    assert "5 frames of 16 x 16 at 8 a second" in capsys.readouterr().out
    clip, seen = str(tmp_path / "data" / "clip.mp4"), str(tmp_path / "seen.mp4")
    assert main(["reconstruct", clip, seen, "--model", model, "--threads", "1"]) == 0
    assert main(["data", "index", str(tmp_path / "data"), "--quiet", "--workers", "1"]) == 0
    assert main(["encode", str(tmp_path / "data"), str(tmp_path / "tokens"), "--model", model, "--quiet"]) == 0


def test_sixteen_bits_are_stored_as_such(source: Path, tmp_path: Path) -> None:
    assert convert(source, tmp_path / "model", "--dtype", "bfloat16") == 0
    stored = load_file(tmp_path / "model" / "tokenizer" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.bfloat16}
    loaded = load_tokenizer(tmp_path / "model").network.state_dict()
    assert all(torch.equal(loaded[name], tensor.to(loaded[name].dtype)) for name, tensor in stored.items())


def first_weight(change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: weights.update({FIRST: change(weights[FIRST])})


FIRST = next(f"net.{name}" for name, tensor in MODEL.state_dict().items() if tensor.ndim > 1)
OURS = FIRST.removeprefix("net.")
BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "missing": (lambda weights: weights.pop(FIRST), f"(1 missing, 0 unexpected): missing tensors: {FIRST}"),
    "unexpected": (
        lambda weights: weights.update({f"extra.{number}": torch.ones(1) for number in range(8)}),
        "(0 missing, 8 unexpected): unexpected tensors: extra.0, extra.1, extra.2, extra.3, extra.4 and 3 more",
    ),
    "NaN": (first_weight(lambda tensor: tensor * torch.nan), f"1 tensors with NaN or infinity: {FIRST}"),
    "infinite": (first_weight(lambda tensor: tensor / 0), f"1 tensors with NaN or infinity: {FIRST}"),
    "shape": (first_weight(lambda tensor: tensor[:-1].clone()), f"the tensor for {OURS} has the shape"),
    "type": (first_weight(lambda tensor: tensor.long()), f"the tensor for {OURS} is of type int64; expected float32"),
    "bool": (first_weight(lambda tensor: tensor > 0), f"the tensor for {OURS} is of type bool; expected float32"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_other_weights_are_refused_by_name(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = BROKEN[how]
    weights = published()
    change(weights)
    assert convert(save(tmp_path / "bad.ckpt", weights), tmp_path / "model") == 4
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_numbers_too_large_for_the_type_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = published()
    weights[FIRST] += 1e6
    path = save(tmp_path / "large.ckpt", weights)
    assert convert(path, tmp_path / "model", "--dtype", "float16") == 4
    assert f"{OURS} has numbers too large" in capsys.readouterr().err


def test_mistakes_of_the_user(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for arguments, said in (
        (["nobody", str(source), out], "'nobody'; public checkpoints are of the kinds"),
        (["fake", str(tmp_path / "none.ckpt"), out], "no such file or folder"),
        (["fake", str(source), out, "version=2"], "version is 2; there is only 1.0"),
        (["fake", str(source), out, "version"], "expected KEY=VALUE"),
        (["fake", str(source), out, "a=1", "a=2"], "given twice"),
        (["fake", str(source), out, "--size", "30x30"], "--size 30x30"),
        (["fake", str(source), out, "--model", out], "--model is for token sets"),
        (["fake", str(source), str(tmp_path / "full")], "--overwrite replaces it"),
        (["fake", str(source), str(tmp_path / "full"), "--overwrite"], "holds something that is no model"),
        (["fake", str(source)], "no folder of version 1"),
        ([str(source)], "give KIND SOURCE OUT"),
        ([str(tmp_path), out, "--dtype", "float16"], "are for KIND SOURCE OUT"),
    ):
        assert main(["convert", *arguments]) == 2, arguments
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not Path(out).exists()
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_overwrite_replaces_a_model(source: Path, tmp_path: Path) -> None:
    assert convert(source, tmp_path / "model") == 0
    assert convert(source, tmp_path / "model", "--fps", "5") == 2
    assert convert(source, tmp_path / "model", "--fps", "5", "--overwrite") == 0
    assert load_tokenizer(tmp_path / "model").clips.fps == 5


def test_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, list[str]]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint("owner/name") == tmp_path
    assert resolve_checkpoint("owner/name/weights/last.ckpt") == tmp_path / "weights" / "last.ckpt"
    assert [name for name, _ in asked] == ["owner/name"] * 2
    assert {"*.safetensors", "*.ckpt", "*.jit"} <= set(asked[0][1])
    assert {"weights/last.ckpt", "weights/last.ckpt/*.jit"} <= set(asked[1][1])
    assert not [pattern for _, patterns in asked for pattern in patterns if pattern.endswith((".py", "*"))]
    for local in ("./owner/name", "../owner/name", "owner/../name", "/owner/name", "last.ckpt"):
        assert resolve_checkpoint(local) == Path(local)
    assert len(asked) == 2
