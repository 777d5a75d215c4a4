"""The recipes about causality, images and details, and the clips that drawings are added to."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from videogen.cli import main
from videogen.data import load_index
from videogen.lab import ocr
from videogen.lab.clips import prepare_clips
from videogen.lab.folder import Lab
from videogen.lab.measures import left_out
from videogen.lab.recipe import LabPlayroom
from videogen.playroom.write import PlayroomConfig

RECIPES = Path(__file__).parents[2] / "recipes" / "lab"


@pytest.mark.parametrize("name", ["causality", "images", "kept"])
def test_a_recipe_holds_what_it_says(name: str, tmp_path: Path) -> None:
    lab = Lab.open(RECIPES / f"{name}.yaml", tmp_path / "out")
    configs = {variant.name: lab.config(variant, 0, 10) for variant in lab.variants}
    if name == "causality":
        assert {each["tokenizer"].pop("causal") for each in configs.values()} == {True, False}
    elif name == "images":
        assert [each["phases"][0].pop("image_share") for each in configs.values()] == [0, 0.2, 0.5]
    else:
        assert [4 ** len(each["tokenizer"].pop("quantizer")["levels"]) for each in configs.values()] == [
            2**bits for bits in (8, 10, 12, 16)
        ]
    first, *others = configs.values()
    assert all(other == first for other in others), "nothing else differs"


def test_drawings_are_trained_on_and_not_held_out(tmp_path: Path) -> None:
    data = LabPlayroom(PlayroomConfig(clips=2, size=32, frames=3), held_out=1, drawings=3)
    prepare_clips(data, tmp_path, lambda done, total: None)
    trained, held_out = (load_index(tmp_path / "data" / name) for name in ("train", "held_out"))
    assert sum(clip.entry.key.startswith("drawings/") for clip in trained.good) == 3
    assert (len(trained.good), len(held_out.good)) == (5, 1)
    assert {len(clip.scan.pts) for clip in trained.good} == {3}


def test_the_page_shows_the_drawings(
    recipe: Path,
    in_process: list[tuple[str, str]],
    change: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ocr, "is_installed", lambda: False)
    change("[reconstruction, usage, oracle, prefix, soft_gap, cost]", "[images, kept, cost]")
    change("held_out: 3}", "held_out: 3, drawings: 2}")
    assert main(["lab", "recipe.yaml", "--out", "out"]) == 0
    assert capsys.readouterr().err.count(ocr.LEFT_OUT) == 1
    page = Path("out/page.md").read_text()
    assert "## Details" in page
    assert "(page/details.png)" in page
    assert Path("out/page/details.png").is_file()
    results = json.loads(Path("out/results.json").read_text())
    assert all({"psnr_images", "shapes_8", "motion_16"} <= row["figures"].keys() for row in results["variants"])


def test_what_cannot_be_measured_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "is_installed", lambda: False)
    assert left_out(["reconstruction", "kept"]) == [ocr.LEFT_OUT]
    assert left_out(["reconstruction"]) == []
    monkeypatch.setattr(ocr, "is_installed", lambda: True)
    assert left_out(["kept"]) == []
