"""`videogen evaluate prior`: the metrics of a run's validation, for any clips."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prior.heads.base import TokenLosses
from prior.likelihood import frame_likelihoods
from prior.model import PriorBatch
from tests.evaluation.models import write_whole_model
from tests.prior.models import GROUPS_OF_TWO
from tests.tokens.conftest import make_model, make_videos
from tests.training.conftest import LENGTHS
from tests.training.fake import lines
from tests.training.tiny_prior import Set, tiny_config, train
from videogen.cli import main
from videogen.data import build_index
from videogen.evaluation.prior.evaluate import (
    ClipSelection,
    as_table,
    bootstrap_interval,
    evaluate_prior,
    student_t_quantile,
)
from videogen.models import load_prior
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.tokens.windows import spread

SHARE, PICTURES = 0.3, 9  # of the tiny run: what it holds out, and three latent frames


@pytest.fixture(scope="module")
def run(made: Set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foretelling") / "run"
    train(*made, folder)
    return folder


def test_it_equals_the_validation_of_the_run(made: Set, run: Path, tmp_path: Path) -> None:
    config = tiny_config(made[1])
    choice = ClipSelection(PICTURES, config.data.validation_clips, config.data.validation_share)
    found = evaluate_prior(load_prior(run), made[1], choice, tmp_path / "tokens")
    said = [line for line in lines(run) if line["kind"] == "validation"][-1]
    seen = {name: value for name, value in said.items() if name in found and name.startswith(("nats", "bits", "top"))}
    assert {"nats", "nats_frame_2", "nats_masked_25", "bits_per_pixel", "top_guess"} <= seen.keys()
    assert {name: found[name] for name in seen} == seen


def test_clips_are_encoded_as_for_training(made: Set, run: Path, tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", LENGTHS)
    build_index(videos, workers=1)
    model = load_prior(run)
    figures = [
        evaluate_prior(model, data, ClipSelection(PICTURES, 5), tmp_path / "tokens", out=tmp_path / "report")
        for data in (videos, made[1])
    ]
    assert figures[0] == figures[1]
    assert figures[0]["skipped"] == {"too short": sum(length < PICTURES for length in LENGTHS)}
    assert figures[0]["clips"] == 5
    assert json.loads((tmp_path / "report/figures.json").read_text()) == figures[1]
    assert (tmp_path / "report/nats.svg").read_text().count("<polyline") == 2


def test_the_gain_from_captions(made: Set, run: Path, tmp_path: Path) -> None:
    """A prior that ignores its text loses nothing without it."""
    model = load_prior(run)
    found = evaluate_prior(model, made[1], ClipSelection(PICTURES), tmp_path / "tokens")
    assert found["nats_of_text"] == pytest.approx(found["without_text"]["nats"] - found["nats"], abs=1e-6)
    assert found["nats_of_text_95"][0] < found["nats_of_text"] < found["nats_of_text_95"][1]
    untold = evaluate_prior(replace(model, conditioner=None), made[1], ClipSelection(PICTURES), tmp_path / "tokens")
    assert untold["nats"] == found["without_text"]["nats"]
    assert untold["without_text"] is None
    assert "without text" in as_table(found)
    assert "without text" not in as_table(untold)


def test_the_hardest_clips_are_named(made: Set, run: Path, tmp_path: Path) -> None:
    found = evaluate_prior(load_prior(run), made[1], ClipSelection(PICTURES), tmp_path / "tokens")
    nats = list(found["hardest"].values())
    assert len(nats) == 3
    assert nats == sorted(nats, reverse=True)
    assert nats[-1] > found["nats"]


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_without_text_and_in_either_objective(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], objective: str
) -> None:
    model = write_whole_model(tmp_path, objective)
    write_playroom(tmp_path / "toys", PlayroomConfig(clips=3, seed=1, size=16, frames=5))
    build_index(tmp_path / "toys", workers=1)
    words = ["evaluate", "prior", str(tmp_path / "toys"), "--model", str(model)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["tokens"], found["exact"]) == (3, 3 * 2 * 4, objective == "autoregressive")
    assert main([*words, "--clips", "1"]) == 0  # one clip has no interval
    assert ("exactly" if objective == "autoregressive" else "at most") in capsys.readouterr().out


def test_errors_are_one_line(made: Set, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_model(tmp_path / "other", seed=1)
    videos = make_videos(tmp_path / "videos", (5, 9))
    build_index(videos, workers=1)
    (tmp_path / "report").mkdir()
    (tmp_path / "report/figures.json").write_text("{}")
    for words, code, message in (
        (["nowhere"], 3, "nowhere: no such file or folder"),
        ([str(videos), "--frames", "33"], 3, "none of 2 clips has 33 frames"),
        ([str(made[1]), "--frames", "33"], 3, "none of 12 clips holds 9 latent frames"),
        ([str(made[1]), "--validation-share", "1"], 2, "--validation-share"),
        ([str(made[1]), "--out", str(tmp_path / "report")], 2, "--overwrite"),
        ([str(made[1]), "--model", str(other.path)], 4, "has no prior"),
    ):
        model = [] if "--model" in words else ["--model", str(run)]
        assert main(["evaluate", "prior", *words, *model]) == code, words
        said = capsys.readouterr().err
        assert message in said
        assert "Traceback" not in said


def test_every_share_of_masked_tokens_counts_whatever_the_groups() -> None:
    def losses(batch: PriorBatch) -> TokenLosses:
        """A token costs 1 in the coarse group, and 2 in the fine one."""
        nats = torch.tensor([1.0] * 4 + [2.0] * 16).expand(batch.targets.shape[:3])
        return TokenLosses(nats, nats, nats < 2)

    found = frame_likelihoods(losses, GROUPS_OF_TWO.empty(64, 2), GROUPS_OF_TWO, True, None, None, 0)
    assert (found.ratio_BT > 0.9).any()
    assert (found.ratio_BT < 0.2).any()
    assert found.ratio_BT.max() <= 1
    assert found.nats_BT.flatten().tolist() == pytest.approx([(4 * 1 + 16 * 2) / 20] * 128)


def test_clips_are_spread_over_the_set() -> None:
    assert spread(10, 3).tolist() == [0, 4, 9]
    assert spread(3, 10).tolist() == [0, 1, 2]
    assert spread(10, 1).tolist() == [0]


@pytest.mark.parametrize("count", [6, 20, 400])
def test_the_interval_is_that_of_a_mean_and_stays_possible(count: int) -> None:
    values = np.random.default_rng(count).gamma(0.3, 5.0, count)  # nats: none below 0, most small, few large
    low, high = bootstrap_interval(values) or [0, 0]
    assert values.min() <= low < values.mean() < high <= values.max()
    reach = student_t_quantile(count - 1) * values.std(ddof=1) / count**0.5
    assert 0.5 * reach < (high - low) / 2 < 1.2 * reach
    assert bootstrap_interval(values) == [low, high], "the same each time"


def test_few_clips_have_no_interval() -> None:
    assert bootstrap_interval(np.array([0.2, 0.4, 3.9, 0.1, 0.1])) is None


@pytest.mark.parametrize(("freedom", "quantile"), [(5, 2.5706), (9, 2.2622), (29, 2.0452), (1000, 1.9623)])
def test_student(freedom: int, quantile: float) -> None:
    assert student_t_quantile(freedom) == pytest.approx(quantile, abs=2e-3)
