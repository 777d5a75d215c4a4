"""`videogen evaluate captions`: attributes of written captions against the truth, beside captions of other clips."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from prior.config import ContextConfig
from tests.pipeline.tiny import write_model
from tests.prior.models import tiny_config, tiny_model
from tests.tokens.conftest import make_videos
from videogen.cli import main
from videogen.conditioning import BPEConfig, make_conditioner
from videogen.conditioning.bpe import BPEConditioner
from videogen.data import build_index, load_index
from videogen.errors import DataError, UsageError
from videogen.evaluation.prior import captions as module
from videogen.evaluation.prior.captions import as_table, evaluate_captions
from videogen.evaluation.prior.evaluate import ClipSelection
from videogen.models import PriorModel, load_prior
from videogen.playroom.grammar import parse
from videogen.playroom.write import PlayroomConfig, write_playroom

FRAMES, CLIPS = 9, 6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_playroom(home / "toys", PlayroomConfig(clips=CLIPS, seed=4, size=24, frames=FRAMES, things=(1,)))
    build_index(home / "toys", workers=1)
    write_model(home / "model", captions=True)
    write_model(home / "plain")
    return home


@pytest.fixture(scope="module")
def model(home: Path) -> PriorModel:
    """One whose vocabulary has the words of the playroom, with random weights."""
    opened = load_prior(home / "model")
    conditioner = make_conditioner(BPEConfig(vocabulary=512, length=40), truths(home))
    context = ContextConfig(40, conditioner.vocabulary)
    config = replace(tiny_config(spec=opened.spec, context=context), captions=True)
    return replace(opened, network=tiny_model(config).float(), conditioner=conditioner)


def truths(home: Path) -> list[str]:
    return [clip.entry.caption for clip in load_index(home / "toys").good]


def evaluated(model: PriorModel, home: Path, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return evaluate_captions(model, home / "toys", ClipSelection(FRAMES), tmp_path / "tokens", **more)


def writing(captions: Sequence[str], model: PriorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model writes these captions, whatever it sees."""
    conditioner = model.conditioner
    assert isinstance(conditioner, BPEConditioner)
    ids = [tuple(conditioner.token_ids(caption)) for caption in captions]
    monkeypatch.setattr(module, "captions_of", lambda *given: ids)


def test_true_captions_are_right_and_others_are_not(
    home: Path, model: PriorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing(truths(home), model, monkeypatch)
    found = evaluated(model, home, tmp_path, out=tmp_path / "report")
    assert (found["clips"], found["readable"], found["captions"]["all_correct"]) == (CLIPS, 1, 1)
    assert set(found["captions"]["by_attribute"].values()) == {1.0}
    assert found["captions_of_other_clips"]["attributes"] < 0.7
    assert [each["written"] for each in found["examples"]] == truths(home)
    assert json.loads((tmp_path / "report/figures.json").read_text()) == found
    assert "of other clips" in (tmp_path / "report/attributes.svg").read_text()
    assert "clips right in all  100.0%" in as_table(found)
    assert f"of {CLIPS} clips with 1 thing: 100.0% of the attributes, 100.0% right in all" in as_table(found)


def test_clips_with_one_thing_are_scored_by_themselves() -> None:
    """A caption that is right about one thing is wrong about a second one."""
    one = parse("a small red ring drifts left slowly over a dark blue background")
    two = replace(one, things=(*one.things, replace(one.things[0], colour="green")))
    found = module.by_things([one, two, one, two], [one, two, one, one])
    assert {count: each["clips"] for count, each in found.items()} == {"1": 2, "2": 2}
    assert found["1"] == {"clips": 2, "attributes": 1, "all_correct": 1}
    assert found["2"]["all_correct"] == 0.5
    assert 0.5 < found["2"]["attributes"] < 1


def test_captions_of_other_clips_are_those_half_the_set_further(
    home: Path, model: PriorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = CLIPS // 2
    moved = [*truths(home)[half:], *truths(home)[:half]]
    writing(moved, model, monkeypatch)
    found = evaluated(model, home, tmp_path)
    assert found["captions_of_other_clips"]["all_correct"] == 1
    assert found["captions"]["all_correct"] < 1


def test_an_unreadable_caption_names_nothing(
    home: Path, model: PriorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing(["a small", *truths(home)[1:]], model, monkeypatch)
    found = evaluated(model, home, tmp_path)
    assert found["readable"] == (CLIPS - 1) / CLIPS
    rates = found["captions"]["by_attribute"]
    assert rates.pop("speed") in ((CLIPS - 1) / CLIPS, (CLIPS - 2) / (CLIPS - 1), 1)  # things that stay have none
    assert set(rates.values()) == {(CLIPS - 1) / CLIPS}


def test_written_captions_are_those_of_the_search(home: Path, model: PriorModel, tmp_path: Path) -> None:
    """In batches with one beam, and clip by clip with more; a likelier caption never costs more."""
    one, wide = (evaluated(model, home, tmp_path, beams=beams) for beams in (1, 2))
    assert len(one["examples"]) == len(wide["examples"]) == CLIPS
    assert one["caption_nats"] == wide["caption_nats"] > 0


def test_the_nats_are_those_of_validation(home: Path, model: PriorModel, tmp_path: Path) -> None:
    """Per token that has to be written, END included."""
    found = evaluated(model, home, tmp_path)
    conditioner = model.conditioner
    assert conditioner is not None
    windows, _ = module.select_windows(model, home / "toys", ClipSelection(FRAMES), tmp_path / "tokens", None)
    total, tokens = 0.0, 0
    for row in range(CLIPS):
        codes = torch.from_numpy(windows.opening(row).codes)[None]
        past = module.commit_codes(model.network, model.network.begin(None, 1, windows.spec), codes)
        caption = windows.tokens.label(row)[1]
        total += nats_alone(model, past, caption)
        tokens += min(len(conditioner.token_ids(caption)) + 1, conditioner.length)
    assert found["caption_nats"] == pytest.approx(total / tokens, rel=1e-4)


def nats_alone(model: PriorModel, past: Any, caption: str) -> float:
    from prior.captioning import caption_nats

    assert model.conditioner is not None
    return caption_nats(model.network, past, model.conditioner([caption])).item()


def test_only_clips_of_the_playroom_count(home: Path, model: PriorModel, tmp_path: Path) -> None:
    build_index(make_videos(tmp_path / "videos", (9, 9, 9)), workers=1)
    with pytest.raises(DataError, match="0 clips have captions of the playroom"):
        evaluate_captions(model, tmp_path / "videos", ClipSelection(FRAMES), tmp_path / "tokens")


def test_a_model_without_captions_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="writes no captions"):
        evaluated(load_prior(home / "plain"), home, tmp_path)


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "captions", str(home / "toys"), "--threads", "1", "--clips", "3", "--model"]
    assert main([*words, str(home / "model"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["latent_frames"], found["beams"]) == (3, 3, 1)
    assert main([*words, str(home / "model"), "--beams", "2"]) == 0
    assert "all attributes" in capsys.readouterr().out
    assert main([*words, str(home / "plain")]) == 2
