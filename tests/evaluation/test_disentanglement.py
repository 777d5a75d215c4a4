"""Information of codes about attributes: 1 for a code that is the attribute, about 0 for codes that are random."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interfaces.tokens import TokenGroup, TokenSpec
from videogen.clip_spec import ClipSpec
from videogen.data import build_index
from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
from videogen.evaluation.tokenizer.disentanglement import MIN_CLIPS, Disentanglement, attributes_of, halves, units
from videogen.evaluation.tokenizer.information import adjusted_information, entropy, expected_information
from videogen.evaluation.tokenizer.video import as_table, attribute_rows
from videogen.models import TokenizerModel
from videogen.playroom.grammar import caption
from videogen.playroom.scene import GROUNDS, sample_scenes
from videogen.playroom.write import PlayroomConfig, write_playroom

GRID = TokenSpec((8, 4096), (TokenGroup("tokens", (2, 3)),), frames_per_latent=4)
LINE = TokenSpec((8, 4096), (TokenGroup("latents", (6,)),), frames_per_latent=4)
SPECS = [pytest.param(GRID, id="grid"), pytest.param(LINE, id="line")]
CAPTION = "a small red ring drifts left slowly over a {} background"


def figures_of(codes_CTNK: Tensor, grounds: list[int], spec: TokenSpec) -> dict[str, Any] | None:
    kept = Disentanglement(spec)
    for codes_TNK, ground in zip(codes_CTNK, grounds, strict=True):
        kept.add(CAPTION.format(list(GROUNDS)[ground]), codes_TNK)
    return kept.figures()


def random_codes(clips: int, seed: int = 0) -> Tensor:
    """Two latent frames of six tokens, of codebooks of 8 and of 4096 codes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(0, size, (clips, 2, 6), generator=generator) for size in GRID.codebooks], dim=-1)


def grounds_of(clips: int, seed: int = 1) -> list[int]:
    return torch.randint(0, 6, (clips,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("spec", SPECS)
def test_random_codes_tell_nothing(spec: TokenSpec) -> None:
    for seed in range(5):
        found = figures_of(random_codes(300, seed), grounds_of(300), spec)
        assert found is not None
        assert list(found["attributes"]) == ["ground"], "all other attributes have one value"
        assert 0 <= found["mig"] <= found["information"] < 0.05


@pytest.mark.parametrize("spec", SPECS)
def test_a_code_that_is_the_attribute_tells_all_of_it(spec: TokenSpec) -> None:
    codes, grounds = random_codes(300), grounds_of(300)
    place = slice(None) if spec is GRID else 4
    codes[:, :, place, 0] = torch.tensor(grounds).view(-1, 1, *[1] * (spec is GRID))
    found = figures_of(codes, grounds, spec)
    assert found is not None
    ground = found["attributes"]["ground"]
    assert ground["unit"] == ("tokens, codebook 0" if spec is GRID else "latents 4, codebook 0")
    assert ground["information"] == pytest.approx(1)
    assert ground["gap"] == pytest.approx(1, abs=0.05)
    assert (ground["clips"], ground["values"]) == (300, 6)


def test_two_codes_that_are_the_attribute_leave_no_gap() -> None:
    codes, grounds = random_codes(300), grounds_of(300)
    codes[:] = torch.tensor(grounds).view(-1, 1, 1, 1)
    found = figures_of(codes, grounds, GRID)
    assert found is not None
    assert (found["information"], found["mig"]) == (pytest.approx(1), 0)


def test_a_code_may_be_anywhere_on_a_grid_but_not_on_a_line() -> None:
    codes, grounds = random_codes(600), grounds_of(600)
    place = torch.randint(0, 6, (600,), generator=torch.Generator().manual_seed(2))
    codes[torch.arange(600), :, place, 1] = 4096 + torch.tensor(grounds)[:, None]
    on_grid, on_line = (figures_of(codes, grounds, spec) for spec in (GRID, LINE))
    assert on_grid is not None
    assert on_line is not None
    assert on_grid["information"] > 0.95
    assert on_line["information"] < 0.3


def test_a_constant_code_and_codes_of_one_clip_each_tell_nothing() -> None:
    codes, grounds = torch.zeros(300, 2, 6, 2, dtype=torch.long), grounds_of(300)
    codes[..., 1] = torch.arange(300)[:, None, None]
    found = figures_of(codes, grounds, GRID)
    assert found is not None
    assert found["information"] == 0


def test_one_unit_has_no_gap() -> None:
    spec = TokenSpec((8,), GRID.groups, frames_per_latent=4)
    found = figures_of(random_codes(100)[..., :1], grounds_of(100), spec)
    assert found is not None
    assert found["mig"] is None
    assert all("none (a single unit)" in value for _, value in attribute_rows(found))


def test_too_few_clips_other_captions_and_continuous_tokens_have_no_figures() -> None:
    each = [number % 6 for number in range(6 * MIN_CLIPS)]
    assert figures_of(random_codes(len(each)), each, GRID) is not None
    assert figures_of(random_codes(len(each) - 1), each[:-1], GRID) is None
    kept = Disentanglement(GRID)
    for codes in random_codes(60):
        kept.add("a dog runs over grass", codes)
    assert kept.figures() is None
    assert not kept.codes
    continuous = TokenSpec((), GRID.groups, frames_per_latent=4, channels=2)
    assert figures_of(torch.rand(len(each), 2, 6, 2), each, continuous) is None


def test_attributes_of_things_are_those_of_a_single_thing() -> None:
    one = attributes_of("a small red ring drifts left slowly over a dark blue background")
    assert one == {
        **{"shape": "ring", "color": "red", "size": "small", "motion": "left", "speed": "slowly"},
        **{"things": "1", "pattern": "plain", "ground": "dark blue"},
    }
    scene = next(scene for scene in sample_scenes(20, seed=0) if len(scene.things) == 2)
    assert attributes_of(caption(scene, 0)).keys() == {"things", "pattern", "ground"}
    assert attributes_of("a dog runs over grass") == {}


def test_units_of_a_grid_are_codebooks_and_those_of_a_line_tokens_too() -> None:
    codes = random_codes(3)
    assert [name for name, _ in units(codes, GRID)] == ["tokens, codebook 0", "tokens, codebook 1"]
    assert [bags.shape for _, bags in units(codes, GRID)] == [(3, 12), (3, 12)]
    on_line = dict(units(codes, LINE))
    assert len(on_line) == 12
    assert torch.equal(on_line["latents 5, codebook 1"], codes[:, :, 5, 1])


def test_halves_have_as_many_clips_of_each_value() -> None:
    truth = torch.tensor(grounds_of(101))
    half = halves(truth)
    for value in range(6):
        first, second = (int(((truth == value) & (half == part)).sum()) for part in (0, 1))
        assert abs(first - second) <= 1


@pytest.mark.slow
def test_expected_information_is_the_mean_over_pairings() -> None:
    generator = torch.Generator().manual_seed(0)
    guess, truth = torch.randint(0, 3, (40,), generator=generator), torch.randint(0, 4, (40,), generator=generator)
    guess[:5] = 3
    shuffled = [truth[torch.randperm(40, generator=generator)] for _ in range(4000)]
    tables = [torch.bincount(guess * 4 + values, minlength=16).double() for values in shuffled]
    margins = torch.bincount(guess, minlength=4).double(), torch.bincount(truth, minlength=4).double()
    counted = torch.stack([entropy(margins[0]) + entropy(margins[1]) - entropy(table) for table in tables])
    error = 4 * float(counted.std()) / math.sqrt(len(counted))
    assert float(expected_information(*margins)) == pytest.approx(float(counted.mean()), abs=error)
    adjusted = [adjusted_information(guess, values, 4) for values in shuffled[:500]]
    assert sum(adjusted) / len(adjusted) == pytest.approx(0, abs=0.01)
    assert adjusted_information(truth, truth, 4) == pytest.approx(1)
    assert adjusted_information((truth + 1) % 4, truth, 4) == pytest.approx(1), "names of guesses do not count"


def test_the_report_has_them_where_there_are_enough_clips(model: TokenizerModel, data: Path, tmp_path: Path) -> None:
    write_playroom(tmp_path / "toys", PlayroomConfig(clips=40, seed=5, size=24, frames=5))
    build_index(tmp_path / "toys", workers=1)
    figures = evaluate_tokenizer(model, tmp_path / "toys", spec=ClipSpec(32, 32, 8.0, 5))
    assert {"things", "pattern"} <= set(figures["disentanglement"]["attributes"])
    assert "ground" not in figures["disentanglement"]["attributes"]
    assert "\n  pattern" in as_table(figures)
    few = evaluate_tokenizer(model, data)
    assert "disentanglement" not in few
    assert "attributes" not in as_table(few)
    assert "\nbits per pixel  0." in as_table(few), "the longest name has a space after it"
