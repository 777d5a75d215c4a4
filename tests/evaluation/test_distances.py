"""Frechet distances of public networks, and what reports say of them and of other measures from folders."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.evaluation.models import write_whole_model
from tests.measures.folders import i3d_folder, lpips_folder, tiny_clip, transnet_folder
from videogen.cli import main
from videogen.errors import CheckpointError
from videogen.evaluation.distances.distance import Distance, describe, references
from videogen.evaluation.distances.extractor import Clips, sample_frames
from videogen.evaluation.distances.frechet import FeatureStatistics, frechet_distance
from videogen.evaluation.distances.i3d import I3DFeatures, i3d_pixels
from videogen.evaluation.distances.transnet import TransNetFeatures
from videogen.models.measures.i3d import I3D
from videogen.models.measures.transnet import TransNet, load_transnet


def noise(clips: int, frames: int = 5, seed: int = 0, side: int = 32) -> Clips:
    return np.random.default_rng(seed).integers(0, 256, (clips, frames, side, side, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Means:
    """The mean color of each frame."""

    key: str = "fvd_i3d"
    name: str = "means"
    frames: int = 4
    resolution: tuple[int, int] = (2, 2)
    comparable: bool = True
    published_clips: int = 8
    population: bool = True

    def __call__(self, clips_BTHWC: Clips) -> Tensor:
        return sample_frames(clips_BTHWC, self.frames, self.resolution).mean((3, 4)).flatten(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("measures")
    made = {"i3d": i3d_folder, "transnet": transnet_folder, "lpips": lpips_folder}
    return {**{kind: make(root) for kind, make in made.items()}, "clip": tiny_clip(root / "clip")}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real networks take up to seconds a clip; here the last and the first layer alone see means of the frames."""

    def logits(self: I3D, clips_BCTHW: Tensor) -> Tensor:
        means = F.adaptive_avg_pool3d(clips_BCTHW, 8).flatten(1)[:, :1024]
        return self.classify(means[:, :, None, None, None].expand(-1, -1, 2, 7, 7))

    def trunk(self: TransNet, clips_BCTHW: Tensor) -> Tensor:
        return self.SDDCNN[0](F.adaptive_avg_pool3d(clips_BCTHW, (4, 4, 4)))

    monkeypatch.setattr(I3D, "forward", logits)
    monkeypatch.setattr(TransNet, "forward", trunk)


def test_covariances_of_a_population_are_means_over_all_clips() -> None:
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for population, correction in ((True, 0), (False, 1)):
        found = FeatureStatistics.of(features, population)
        covariance = (found.axes_FR * found.lengths_R**2) @ found.axes_FR.T
        torch.testing.assert_close(covariance, torch.cov(features.T, correction=correction))


def test_a_distance_is_that_of_all_batches_and_of_its_own_covariance() -> None:
    one, other = noise(6, seed=1), noise(7, seed=2)
    for population in (True, False):
        bank = Means(population=population)
        (reference,) = references([bank], (other[:3], other[3:]))
        expected = frechet_distance(
            FeatureStatistics.of(bank(one), population), FeatureStatistics.of(bank(other), population)
        )
        assert Distance(bank, reference).of([bank(one[:2]), bank(one[2:])]) == pytest.approx(expected, rel=1e-9)
    assert Distance(bank, reference).of([bank(one[:1])]) is None
    assert Distance(bank).of([bank(one)]) is None


def test_what_differs_from_the_published_protocol_is_said() -> None:
    (reference,) = references([Means()], [noise(8)])
    same = Distance(Means(), reference, "clips").pinned(4, 8)
    assert same["comparable_with_published_figures"]
    assert "not comparable" not in describe(same, 8)
    few = Distance(Means(), reference, "clips").pinned(3, 7)
    assert few["differs_from_published"] == ["3 of 4 frames", "7 of 8 clips"]
    assert describe(few, 7).endswith("of clips; not comparable with published FVD (3 of 4 frames, 7 of 8 clips)")
    (fewer,) = references([Means()], [noise(6)])
    assert Distance(Means(), fewer).pinned(4, 9)["differs_from_published"] == ["6 of 8 true clips"]
    never = Distance(Means(comparable=False, published_clips=0), reference).pinned(4, 8)
    assert not never["comparable_with_published_figures"]
    assert "differs_from_published" not in never


def test_i3d_is_given_frames_as_published() -> None:
    """Bilinear without antialiasing to a square, whatever the shape; in [-1, 1]; the last frame repeated."""
    clips = np.random.default_rng(0).integers(0, 256, (1, 3, 300, 250, 3), dtype=np.uint8)
    x = i3d_pixels(clips)
    assert x.shape == (1, 3, 16, 224, 224)
    frame = torch.from_numpy(clips[0, 1]).permute(2, 0, 1)[None].float()
    expected = 2 * F.interpolate(frame, (224, 224), mode="bilinear", align_corners=False) / 255 - 1
    torch.testing.assert_close(x[:, :, 1], expected)
    assert torch.equal(x[:, :, 2], x[:, :, 15])
    white = i3d_pixels(np.full((1, 16, 8, 8, 3), 255, np.uint8))
    torch.testing.assert_close(white, torch.ones_like(white))


@pytest.mark.usefixtures("fast")
def test_features_are_those_of_the_folder_and_independent_of_the_batch(folders: dict[str, Path]) -> None:
    clips = noise(5)
    for bank, width in ((I3DFeatures(folders["i3d"]), 400), (TransNetFeatures(folders["transnet"]), 64)):
        found = bank(clips)
        assert found.shape == (5, width)
        assert found.std() > 1e-3
        torch.testing.assert_close(bank(clips[4:]), found[4:], rtol=1e-4, atol=1e-4)
    network = load_transnet(torch_weights(folders["transnet"]))
    expected = network(sample_frames(clips[:1], 16, (27, 48))).mean((2, 3, 4))
    torch.testing.assert_close(found[:1], expected, rtol=1e-4, atol=1e-4)


def torch_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_folder_of_another_kind_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="is of kind 'transnet'; expected i3d"):
        I3DFeatures(folders["transnet"])
    with pytest.raises(CheckpointError, match=r"holds no measure\.json"):
        TransNetFeatures(folders["clip"])


@pytest.mark.usefixtures("fast")
def test_measures_of_generated_clips_are_in_the_report(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_whole_model(tmp_path)
    command = ["evaluate", "generation", "--model", str(model), "--prompts", "playroom:2", "--steps", "1", "--quiet"]
    networks = [f"--{name}={folders[name]}" for name in ("i3d", "transnet", "clip")]
    few = ["--reference-clips", "3", "--drift-frames", "0"]
    assert main([*command, *few, *networks, "--out", str(tmp_path / "with")]) == 0
    said = capsys.readouterr().out
    header, *_ = lines = said.splitlines()
    for word in ("Frechet", "FVD", "TransNet", "CLIP"):
        assert word in header
    assert [line.split(":")[0] for line in lines if "against 3 of the playroom" in line] == [
        "Frechet",
        "FVD",
        "TransNet",
    ]
    why = "not comparable with published FVD (5 of 16 frames, 2 of 2,048 clips, 3 of 2,048 true clips)"
    assert why in next(line for line in lines if line.startswith("FVD: I3D i3d ("))
    figures = json.loads((tmp_path / "with" / "figures.json").read_text())
    row = figures["rows"][2]
    for key in ("fvd_i3d", "frechet_transnet", "clip_score"):
        assert row[key] is not None
    assert row["fvd_i3d"] > 0
    assert figures["pinned"]["fvd_i3d"]["resolution"] == [224, 224]
    assert figures["pinned"]["frechet_transnet"]["resolution"] == [27, 48]
    assert "4 frames" in figures["pinned"]["clip_score"]
    assert main([*command, *few, "--out", str(tmp_path / "without")]) == 0
    assert "FVD:" not in capsys.readouterr().out
    without = json.loads((tmp_path / "without" / "figures.json").read_text())
    assert not {"fvd_i3d", "frechet_transnet"} & (without["rows"][2].keys() | without["pinned"].keys())
    assert without["rows"][2]["frechet"] == row["frechet"]
    (tmp_path / "mine.txt").write_text("a storm at sea\n")
    other = ["--prompts", str(tmp_path / "mine.txt"), f"--i3d={folders['i3d']}", "--out", str(tmp_path / "other")]
    assert main([*command, *other]) == 2
    assert "--i3d compares with true clips; name some by --reference DATA" in capsys.readouterr().err
    assert main([*command, *few, f"--i3d={folders['lpips']}", "--out", str(tmp_path / "bad")]) == 4
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("fast")
def test_measures_of_reconstructions_are_in_the_report(
    folders: dict[str, Path], model_folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "tokenizer", str(data), "--model", str(model_folder), "--quiet"]
    networks = [f"--{name}={folders[name]}" for name in ("lpips", "i3d", "transnet")]
    assert main([*command, *networks, "--clips", "3", "--out", str(tmp_path / "report")]) == 0
    said = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines()[1:])
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert said["LPIPS"] == f"{figures['lpips']:.4f} (version 0.1, alex)"
    assert said["FVD"].startswith(f"{figures['fvd_i3d']:.4g} (I3D i3d (")
    assert said["FVD"].endswith("3 of 2,048 clips, 3 of 2,048 true clips))")
    assert said["TransNet"].startswith(f"{figures['frechet_transnet']:.4g} (TransNet V2 transnet (")
    assert figures["pinned"]["fvd_i3d"]["reference"] == "the same clips"
    assert main([*command, "--clips", "1", networks[1], "--json"]) == 0
    assert not {"fvd_i3d", "pinned"} & json.loads(capsys.readouterr().out).keys()
    assert main([*command, f"--lpips={folders['i3d']}"]) == 4
    assert "is of kind 'i3d'; expected lpips" in capsys.readouterr().err
