"""A codebook is looked at: usage, bits, distances, cells and decoded codes, for every kind of quantizer."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import StripeTokenizer, small_config, small_model
from tokenizer.quantize import FSQConfig, QuantizerConfig, VQConfig, make_quantizer
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.codebook import LearnedCodebook
from tokenizer.quantize.pair import QuantizerPair
from tokenizer.quantize.usage import TableUsage
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, load_index
from videogen.errors import CheckpointError
from videogen.evaluation.codebook.bits import conditional_bits, entropy_bits
from videogen.evaluation.codebook.geometry import nearest_other, plane_of
from videogen.evaluation.codebook.parts import parts_of
from videogen.evaluation.codebook.report import evaluate_codebook, quantizer_of
from videogen.evaluation.codebook.usage import usage_histogram
from videogen.evaluation.codebook.voronoi import DEAD, PlaneWindow, draw_cells
from videogen.evaluation.report.line_charts import Series, log_line_chart
from videogen.io.pixels import to_clip
from videogen.models import TokenizerModel, load_tokenizer, tokenizer_files

CHARTS = {"usage.svg", "ranks.svg", "bits.svg", "positions.svg", "chunks.svg"}
ALWAYS = {"figures.json", "README.md", "voronoi.png", "decoded.png"}


def write_model(folder: Path, config: QuantizerConfig) -> TokenizerModel:
    network = small_model(made := small_config(quantizer=config))
    for leaf in network.quantizer.leaves:
        if isinstance(leaf, LearnedCodebook):  # in a corner of their space: some codes are dead
            leaf.codebook.data.mul_(0.2)
    write_folder(folder, tokenizer_files(made, ClipSpec(32, 32, 8.0, 9), network.state_dict(), "# a card"))
    return load_tokenizer(folder)


def clips_of(model: TokenizerModel, data: Path) -> torch.Tensor:
    dataset = ClipDataset(load_index(data), model.clips, seed=0)
    return torch.cat(
        [to_clip(torch.from_numpy(dataset.sample(0, number).clip)[None]) for number in range(len(dataset))]
    )


def codes_of(model: TokenizerModel, data: Path) -> torch.Tensor:
    return torch.cat([encode_clip(model.network, clip[None]) for clip in clips_of(model, data)])


def leaves_of(model: TokenizerModel) -> tuple[Quantizer, ...]:
    return model.network.quantizer.leaves  # type: ignore[attr-defined, no-any-return]


QUANTIZERS: dict[str, QuantizerConfig] = {
    "fsq": FSQConfig((8, 5, 5, 5)),
    "plane": VQConfig(64, 2),
    "vq": VQConfig(32, 5, distance="cosine"),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_figures_are_those_of_the_codes(name: str, data: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", QUANTIZERS[name])
    figures = evaluate_codebook(model, tmp_path / "look", data)
    codes_CTNK = codes_of(model, data)
    (part,) = figures["parts"]
    different, counts = torch.unique(codes_CTNK.flatten(0, 2), dim=0, return_counts=True)
    assert (part["codes"], part["used"]) == (math.prod(model.spec.codebooks), len(different))
    assert part["dead"] == part["codes"] - len(different)
    p = counts.double() / counts.sum()
    assert part["entropy_bits"] == pytest.approx(float(-(p * p.log2()).sum()))
    assert figures["data"]["tokens"] == codes_CTNK[..., 0].numel()
    first = torch.unique(codes_CTNK[:, 0].flatten(0, 1), dim=0)
    assert figures["use_by_latent_frame"][part["name"]][0] == len(first) / part["codes"]
    written = {place.name for place in (tmp_path / "look").iterdir()}
    assert written == ALWAYS | CHARTS | {"distances.svg"}
    for chart in sorted(written):
        if chart.endswith(".svg"):
            ElementTree.parse(tmp_path / "look" / chart)
            assert f"]({chart})" in (tmp_path / "look" / "README.md").read_text()


class LeftAndRight(Quantizer):
    """Two halves of the channels, each with its own quantizer; or with one that both share."""

    def __init__(self, left: Quantizer, right: Quantizer) -> None:
        super().__init__(left.dim + right.dim, left.codebooks + right.codebooks)
        self.left, self.right = left, right

    @property
    def parts(self) -> tuple[Quantizer, ...]:
        return self.left, self.right

    def project(self, latents_ND: torch.Tensor) -> torch.Tensor:
        return latents_ND

    def to_codes(self, projected_ND: torch.Tensor) -> torch.Tensor:
        halves = zip(self.parts, projected_ND.chunk(2, dim=-1), strict=True)
        return torch.cat([part.to_codes(part.project(half)) for part, half in halves], dim=-1)

    def lookup(self, codes_NK: torch.Tensor) -> torch.Tensor:
        halves = zip(self.parts, codes_NK.chunk(2, dim=-1), strict=True)
        return torch.cat([part.lookup(codes) for part, codes in halves], dim=-1)


@pytest.mark.parametrize("shared", [False, True])
def test_parts_of_a_combinator_are_counted_each_for_itself(shared: bool, data: Path, tmp_path: Path) -> None:
    network = small_model(small_config(quantizer=VQConfig(9, 4)))
    torch.manual_seed(1)
    left = make_quantizer(VQConfig(16, 2))
    network.quantizer = LeftAndRight(left, left if shared else make_quantizer(VQConfig(16, 2)))
    model = TokenizerModel(network, ClipSpec(32, 32, 8.0, 9), "", tmp_path, {})
    figures = evaluate_codebook(model, tmp_path / "look", data)
    codes_NK = codes_of(model, data).flatten(0, 2)
    assert [part["name"] for part in figures["parts"]] == ["codebook 1", "codebook 2"]
    assert [part["used"] for part in figures["parts"]] == [len(codes_N.unique()) for codes_N in codes_NK.unbind(1)]
    assert figures["codebooks"] == [], "each part has one codebook"
    quantizers = figures["quantizers"]
    assert [each["name"] for each in quantizers] == (
        ["codebook 1 to codebook 2"] if shared else ["codebook 1", "codebook 2"]
    )
    latents_M4 = network.encode_latents(clips_of(model, data))[0].flatten(0, -2).detach()
    halves = torch.stack(latents_M4.chunk(2, dim=-1))
    codes_VD = torch.stack([part.lookup(torch.arange(16)[:, None]) for part in network.quantizer.parts])
    nearest = torch.cdist(halves, codes_VD).amin(-1)  # [2, M]
    expected = [nearest.flatten()] if shared else list(nearest)
    found = [each["distance_of_latents_to_codes"]["median"] for each in quantizers]
    assert found == pytest.approx([float(each.double().quantile(0.5)) for each in expected], rel=1e-3)


def test_latents_are_measured_where_they_are_quantized(data: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", QUANTIZERS["plane"])
    figures = evaluate_codebook(model, tmp_path / "look", data)
    quantizer = leaves_of(model)[0]
    latents_ND = quantizer.project(model.network.encode_latents(clips_of(model, data))[0]).flatten(0, -2)  # type: ignore[attr-defined]
    nearest_N = torch.cdist(latents_ND, quantizer.codebook).amin(1)  # type: ignore[arg-type]
    found = figures["quantizers"][0]["distance_of_latents_to_codes"]
    assert found["most"] == pytest.approx(float(nearest_N.max()), rel=1e-4)
    assert found["median"] == pytest.approx(float(nearest_N.double().quantile(0.5)), rel=1e-3)
    assert "to_codes" not in vars(quantizer), "nothing listens any more"


def test_without_data_and_with_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    write_model(run / "model", QUANTIZERS["vq"])
    lines = [
        {"step": step, "kind": kind, "perplexity": 3.0 * step} for step in (1, 2) for kind in ("train", "validation")
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["evaluate", "codebook", str(run), "--out", str(tmp_path / "look"), "--quiet"]
    assert main(command) == 0
    figures = json.loads((tmp_path / "look" / "figures.json").read_text())
    assert (figures["data"], figures["parts"]) == (None, [])
    assert figures["training"]["held-out clips"] == {"step": [1, 2], "perplexity": [3.0, 6.0]}
    assert {place.name for place in (tmp_path / "look").iterdir()} == ALWAYS | {"perplexity.svg", "distances.svg"}
    capsys.readouterr()
    assert main(command) == 2
    assert "already contains a report; --overwrite replaces it" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_mistakes_are_named(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "look"), "--quiet"]
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", "codebook", str(model_folder), str(tmp_path / "empty"), *out]) == 3
    assert main(["evaluate", "codebook", str(tmp_path / "empty"), *out]) == 4
    assert main(["evaluate", "codebook", str(model_folder)]) == 2
    assert all(line.startswith("videogen: ") for line in capsys.readouterr().err.strip().splitlines()[:2])
    assert not (tmp_path / "look").exists()


def test_continuous_tokens_have_no_codebook(tmp_path: Path) -> None:
    network: Any = StripeTokenizer()
    model = TokenizerModel(network, ClipSpec(8, 8, 8.0, 8), "", Path("stripes"), {})
    with pytest.raises(CheckpointError, match="stripes: its tokens are continuous"):
        evaluate_codebook(model, tmp_path / "look")
    assert not (tmp_path / "look").exists()


def test_codes_of_a_factorized_tokenizer_with_an_image_quantizer_are_counted_as_one() -> None:
    tokens, images = (make_quantizer(FSQConfig(levels)) for levels in ((5, 5, 5), (4, 4)))
    model: Any = SimpleNamespace(network=SimpleNamespace(quantizer=QuantizerPair(tokens, images)))
    assert quantizer_of(model) is tokens
    assert [part.size for part in parts_of(tokens.codebooks, quantizer_of(model))] == [125]


def test_entropies_by_hand() -> None:
    assert entropy_bits(torch.tensor([2, 1, 1])) == pytest.approx(1.5)
    assert entropy_bits(torch.tensor([7])) == 0
    alternating = torch.tensor([[0, 1] * 8]).reshape(1, 16, 1)
    assert conditional_bits(alternating) == pytest.approx(0)
    stays_or_moves = torch.tensor([0, 0, 1, 1] * 8 + [0]).reshape(1, 33, 1)
    assert conditional_bits(stays_or_moves) == pytest.approx(1)
    assert conditional_bits(torch.arange(16).reshape(1, 16, 1)) is None, "each pair was seen once"
    assert conditional_bits(torch.zeros(5, 1, 4, dtype=torch.int64)) is None, "there is no latent frame before"


def test_usage_is_counted_in_doubling_ranges() -> None:
    table = TableUsage(10, torch.arange(5), torch.tensor([1, 1, 2, 3, 9]))
    assert usage_histogram([table]) == (["never", "once", "2+", "4+", "8+"], [5, 2, 2, 0, 1])


def test_entries_and_codes_of_a_part_are_inverse() -> None:
    (part,) = parts_of((8, 5, 5, 5), make_quantizer(FSQConfig((8, 5, 5, 5))))
    entries = torch.arange(part.size)
    assert torch.equal(part.entries(part.codes(entries)), entries)
    assert [each.size for each in parts_of((4, 16), None)] == [4, 16]


def test_cells_are_those_of_the_nearest_code() -> None:
    codes_V2 = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 9.0]])
    picture = draw_cells(codes_V2, torch.tensor([5, 0, 1]), None, PlaneWindow(-2, -2, 4, side=64))
    assert tuple(picture[5, 60]) == DEAD, "right: the code that is never used"
    assert tuple(picture[5, 3]) != DEAD
    assert len({tuple(pixel) for row in picture[:20, :28] for pixel in row}) == 1, "left: one cell"


def test_distances_and_planes() -> None:
    assert nearest_other(torch.tensor([[0.0], [1.0], [5.0]])).tolist() == [1, 1, 4]
    points_MD = torch.randn(200, 4) * torch.tensor([0.0, 3.0, 0.01, 2.0])
    plane = plane_of(points_MD)
    assert plane.share > 0.99
    assert plane.project(points_MD).var(0)[0] > plane.project(points_MD).var(0)[1]
    assert torch.equal(plane_of(points_MD[:, :2]).project(points_MD[:, :2]), points_MD[:, :2])


def test_logarithmic_charts_leave_out_what_has_no_logarithm(tmp_path: Path) -> None:
    for y in ([], [0.0, 0.0], [1.0, 0.0], [5.0, 500.0]):
        ElementTree.fromstring(log_line_chart("title", "x", "y", [Series("a", list(range(1, len(y) + 1)), y)]))


def test_every_code_has_a_picture(data: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", QUANTIZERS["plane"])
    evaluate_codebook(model, tmp_path / "look", data, most=1)
    red = (Image.open(tmp_path / "look" / "decoded.png").convert("RGB")).getcolors(1 << 24)
    dead = json.loads((tmp_path / "look" / "figures.json").read_text())["parts"][0]["dead"]
    assert dead > 0
    assert {color: count for count, color in red or []}[(200, 30, 30)] == dead * (32 * 32 - 28 * 28)
