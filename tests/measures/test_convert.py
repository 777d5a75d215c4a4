"""`videogen convert` of measures, the folders that it makes, and what refuses other ones."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.measures.folders import alexnet_files, converted, i3d_folder, lpips_folder, tiny_clip, transnet_folder
from tests.measures.weights import random_state, save
from tests.tokenizer.losses.random_lpips import random_lpips
from tests.tokenizer.models import noise_clip
from tokenizer.losses.lpips import LPIPS, LPIPSConfig
from videogen.cli import main
from videogen.errors import CheckpointError, UsageError
from videogen.evaluation.generation.pretrained import ClipScore
from videogen.models.measures.folder import open_measure
from videogen.models.measures.transnet import TransNet
from videogen.models.perceptual import load_lpips, load_perceptual


def test_lpips_is_put_together_of_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone, heads = alexnet_files(tmp_path, ".pth")
    out = tmp_path / "lpips"
    assert main(["convert", "lpips", str(backbone), str(out), f"heads={heads}", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    weights = random_lpips("alex")
    assert said["parameters"] == sum(tensor.numel() for tensor in weights.values())
    measure = open_measure(out, "lpips")
    assert (measure.variant, measure.folder.fingerprint) == ("alex", said["fingerprint"])
    assert measure.weights().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in measure.weights().items())
    card = (out / "README.md").read_text()
    for file in (backbone, heads):
        assert f"{file.name}': `{hashlib.sha256(file.read_bytes()).hexdigest()}`" in card
    assert "BSD" in card
    assert {place.name for place in out.iterdir()} == {
        "measure.json",
        "model.safetensors",
        "README.md",
        "MANIFEST.json",
    }
    a, b = noise_clip(1, 2, 32, 32, seed=1), noise_clip(1, 2, 32, 32, seed=2)
    assert torch.equal(load_lpips(out)(a, b, 0), LPIPS(weights)(a, b, 0))


def test_one_file_with_all_tensors_needs_no_heads(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.safetensors", random_lpips("alex"))
    assert open_measure(converted("lpips", whole, tmp_path / "lpips"), "lpips").variant == "alex"


def test_networks_for_distances_are_stored_by_their_published_names(tmp_path: Path) -> None:
    stored = load_file(i3d_folder(tmp_path) / "model.safetensors")
    assert len(stored) == 287
    assert stored["Conv3d_1a_7x7.bn.running_var"].shape == (64,)
    stored = load_file(transnet_folder(tmp_path) / "model.safetensors")
    assert all(name.startswith("SDDCNN.") for name in stored)
    assert not [name for name in stored if name.endswith("num_batches_tracked")]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_clip_of_pickles_becomes_one_of_safetensors(dtype: str, tmp_path: Path) -> None:
    source = tiny_clip(tmp_path / "source")
    score, frames = ClipScore(source), noise_clip(1, 4, 16, 16)
    pixels = ((frames + 1) * 127.5).to(torch.uint8).permute(0, 2, 3, 4, 1).numpy()
    weights = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    save(source / "pytorch_model.bin", {**weights, "text_model.embeddings.position_ids": torch.arange(12)})
    with pytest.raises(CheckpointError):
        ClipScore(source)
    out = converted("clip", source, tmp_path / "clip", "--dtype", dtype)
    assert {place.suffix for place in out.iterdir()} <= {".json", ".safetensors", ".md", ".txt"}
    found = ClipScore(out)(pixels, ["a red ring"])
    assert found == pytest.approx(score(pixels, ["a red ring"]), abs=1e-4 if dtype == "float32" else 3)


BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "missing": (lambda w: w.pop("SDDCNN.0.DDCNN.0.bn.bias"), "(1 missing, 0 unexpected): missing tensors: SDDCNN.0"),
    "unexpected": (lambda w: w.update(extra=torch.ones(1)), "(0 missing, 1 unexpected): unexpected tensors: extra"),
    "NaN": (lambda w: w.update({"SDDCNN.0.DDCNN.0.bn.bias": torch.full((64,), torch.nan)}), "1 tensors with NaN"),
    "shape": (lambda w: w.update({"SDDCNN.0.DDCNN.0.bn.bias": torch.ones(63)}), "has the shape [63]; expected [64]"),
    "type": (lambda w: w.update({"SDDCNN.0.DDCNN.0.bn.bias": torch.ones(64).long()}), "is of type int64"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_other_weights_are_refused_by_name(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = BROKEN[how]
    weights = random_state(TransNet())
    change(weights)
    source = save(tmp_path / "bad.safetensors", weights)
    assert main(["convert", "transnet", str(source), str(tmp_path / "out")]) == 4
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_mistakes_of_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone, heads = map(str, alexnet_files(tmp_path))
    out = str(tmp_path / "out")
    for arguments, code, said in (
        (["lpips", backbone, out], 2, "heads is missing: heads=FILE"),
        (["lpips", backbone, out, f"heads={backbone}"], 2, "is in both SOURCE and heads"),
        (["lpips", backbone, out, f"heads={tmp_path}/none.safetensors"], 2, "no such file"),
        (["lpips", backbone, out, f"heads={heads}", "version=1"], 2, "'version' is no option; there is heads"),
        (["lpips", backbone, out, f"heads={heads}", "--fps", "8"], 2, "lpips has none"),
        (["lpips", heads, out], 4, "its tensors are not those of lpips"),
        (["i3d", heads, out], 4, "its tensors are not those of i3d"),
        (["i3d", backbone, out, "heads=1"], 2, "'heads' is no option; there is none"),
        (["clip", backbone, out], 2, "SOURCE must be a folder"),
        (["clip", str(tmp_path), out], 4, "config.json: not the configuration of a CLIP"),
        (
            ["fvd", backbone, out],
            2,
            "cosmos, emu3, vidtok (tokenizers); lumos1 (priors); lpips, i3d, transnet, clip (measures)",
        ),
    ):
        assert main(["convert", *arguments]) == code, arguments
        error = capsys.readouterr().err
        assert said in error, error
        assert error.count("\n") == 1
        assert not Path(out).exists()


def test_a_folder_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    out = lpips_folder(tmp_path)
    arguments = [
        "convert",
        "lpips",
        str(tmp_path / "alexnet-owt.safetensors"),
        str(out),
        f"heads={tmp_path}/alex.safetensors",
    ]
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite", "--quiet", "--dtype", "float16"]) == 0
    assert load_file(out / "model.safetensors")["features.0.weight"].dtype == torch.float16


def test_other_folders_are_one_clear_line(tmp_path: Path) -> None:
    out = lpips_folder(tmp_path)
    with pytest.raises(CheckpointError, match="is of kind 'lpips'; expected i3d"):
        open_measure(out, "i3d")
    with pytest.raises(CheckpointError, match=r"holds no measure\.json; `videogen convert lpips SOURCE OUT`"):
        load_lpips(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        open_measure(tmp_path / "none", "i3d")
    with pytest.raises(CheckpointError, match="`videogen convert lpips SOURCE OUT heads=FILE`"):
        load_lpips(tmp_path / "none")
    index = out / "measure.json"
    index.write_text(index.read_text().replace("alex", "vgg"))
    with pytest.raises(CheckpointError, match="damaged or edited"):
        load_lpips(out)


def test_frames_too_small_for_a_loss_are_refused_before_the_first_step(tmp_path: Path) -> None:
    config = LPIPSConfig("lpips", 1.0, str(save(tmp_path / "whole.safetensors", random_lpips("alex"))))
    assert load_perceptual(config, 31) is not None
    with pytest.raises(UsageError, match="on alex, which needs frames of at least 31 pixels; phases have 30"):
        load_perceptual(config, 30)
