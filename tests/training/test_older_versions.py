"""Runs and configurations of version 1: what is resumed, what is refused, and old keys, whose errors name the new."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training import tiny, tiny_prior
from tests.training.programs import same_bits
from tests.training.tiny_prior import Set
from videogen.checkpoint import read_folder, write_folder
from videogen.config import ConfigError, resolve, resolve_run
from videogen.data import build_index
from videogen.errors import CheckpointError, UsageError
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.training.prior.init_weights import open_prior
from videogen.training.records.run_folder import RunFolder, steps_in

PROGRESS = {"alarm_counts": "held", "nonfinite_keys": "bad", "training_metric": "trained", "overfit_count": "overfit"}


def as_version_1(run: Path) -> None:
    """Write a run folder's JSON as version 1 did."""
    config = json.loads((run / "config.json").read_text())
    assert config.pop("version") == 2
    config["begin_with"] = config.pop("init_from")
    config["optimizer"]["momentum"] = 0.95
    for name in ("causal", "layout", "kind", "condition"):
        del config["tokenizer"][name]
    for phase in config["phases"]:
        del phase["encoder_frozen"]
    del config["loss"]["alignment"], config["text"], config["conditioner"]
    (run / "config.json").write_text(json.dumps(config))
    for step in steps_in(run / "checkpoints"):
        place = run / "checkpoints" / f"step_{step:08}"
        folder = read_folder(place)
        files: dict[str, Any] = {name: folder.tensors(name) for name in folder.hashes if name.endswith(".safetensors")}
        state = folder.json("state.json")
        state["progress"] = {PROGRESS.get(name, name): value for name, value in state["progress"].items()}
        write_folder(place, {**files, "state.json": state})


def test_a_tokenizers_run_of_version_1_is_resumed_to_the_bit(tmp_path: Path) -> None:
    write_playroom(tmp_path / "clips", PlayroomConfig(clips=12, seed=4, size=24, frames=9))
    build_index(tmp_path / "clips", workers=1)
    tiny.train(tmp_path / "clips", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "old")
    as_version_1(tmp_path / "old")
    shutil.rmtree(tmp_path / "old" / "checkpoints" / f"step_{steps_in(tmp_path / 'old' / 'checkpoints')[-1]:08}")
    tiny.train(tmp_path / "clips", tmp_path / "old", resume=True)
    assert same_bits(tmp_path / "whole", tmp_path / "old")


def test_a_priors_run_of_before_a_setting_is_resumed_to_the_bit(made: Set, tmp_path: Path) -> None:
    tiny_prior.train(*made, tmp_path / "whole", steps=4)
    shutil.copytree(tmp_path / "whole", tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["teaching"]["control_dropout"], config["distillation"], config["variational"]
    del config["prior"]["kind"], config["prior"]["mask_noise"]
    config["prior"] |= {"head": "chain", "sink_frames": 0}
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    shutil.rmtree(tmp_path / "old" / "checkpoints" / "step_00000004")
    tiny_prior.train(*made, tmp_path / "old", resume=True, steps=4)
    assert same_bits(tmp_path / "whole", tmp_path / "old")


def test_a_priors_run_with_another_value_of_a_removed_setting_is_refused(made: Set, tmp_path: Path) -> None:
    place = tmp_path / "config.json"
    tiny_prior.train(*made, tmp_path, steps=1)
    config = json.loads(place.read_text())
    expected = resolve_run(tmp_path, [], "prior").value
    config["prior"]["sink_frames"] = 0
    place.write_text(json.dumps(config))
    assert resolve_run(tmp_path, [], "prior").value == expected
    config["prior"]["sink_frames"] = 1
    place.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"config\.json: 'prior\.sink_frames' was removed, and only 0 can"):
        resolve_run(tmp_path, [], "prior")


def test_a_priors_run_of_version_1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"teaching": {}, "begin_with": null}')
    with RunFolder(tmp_path) as run, pytest.raises(CheckpointError, match="version 1"):
        run.check_config({}, frozenset())
    with pytest.raises(CheckpointError, match="version 1"):
        resolve_run(tmp_path, [], "prior")


def test_a_run_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        (tmp_path / "config.json").write_text('{"version": 3}')
        with pytest.raises(CheckpointError, match="version 3"):
            run.check_config({}, frozenset())


@pytest.mark.parametrize(
    ("schema", "setting", "named"),
    [
        ("tokenizer", "begin_with=runs/a", "init_from"),
        ("prior", "begin_with=runs/a", "init_from"),
        ("prior", "data.opening_share=1", "clip_start_share"),
        ("prior", "optimizer.momentum=0.9", "momentum"),
        ("prior", "teaching.cut_share=0.1", "scene_cut_probability"),
        ("prior", "phases=[{from_step: 0, frames: 2, rollout_keep: 1}]", "rollout_keep"),
    ],
)
def test_an_old_key_is_an_error_that_names_the_new_one(schema: str, setting: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        resolve("video_64_cpu", [setting], expected=schema)


def test_a_llama_given_as_init_from_names_init_from_llama(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    for place in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(UsageError, match=r"init_from_llama="):
            open_prior(place)
