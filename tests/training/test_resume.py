"""Law 8: a run that is killed at any moments and resumed ends with the bits of one that never stopped."""

import os
import random
import shutil
import signal
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.fake import SMALL, FakeBatch, FakeConfig, FakeStage, lines, run
from tests.training.programs import Nursery, kill_after_lines, nursery, same_bits, wait_for_lines, whole_lines
from videogen.checkpoint import write_folder
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.training.loop import trainer
from videogen.training.records.run_folder import steps_in

PLAIN = FakeConfig()


class EnoughError(Exception):
    pass


def stopped_after(folder: Path, step: int, config: FakeConfig = PLAIN) -> None:
    """Stopped right after a step, before a checkpoint."""

    def on_progress(done: int, total: int) -> None:
        if done == step:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(folder, config, on_progress=on_progress)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("nursery") / "spare") as opened:
        yield opened


def test_the_test_can_fail(unbroken: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", FakeConfig(training=replace(SMALL, seed=4)))
    assert not same_bits(unbroken, tmp_path / "run")


@pytest.mark.parametrize("step", [1, 4, 5, 8, 11])
def test_resumed_after_any_step(unbroken: Path, tmp_path: Path, step: int) -> None:
    stopped_after(tmp_path / "run", step)
    run(tmp_path / "run", resume=True)
    assert same_bits(unbroken, tmp_path / "run")


def test_validation_and_samples_change_nothing(unbroken: Path, tmp_path: Path) -> None:
    often = replace(SMALL, validate_every=1, sample_every=1, checkpoint_every=1)
    run(tmp_path / "run", FakeConfig(training=often))
    trained = [line for line in lines(tmp_path / "run") if line["kind"] == "train"]
    assert trained == [line for line in lines(unbroken) if line["kind"] == "train"]


def test_a_damaged_checkpoint_is_reported_and_skipped(unbroken: Path, tmp_path: Path) -> None:
    stopped_after(tmp_path / "run", 11)
    newest = tmp_path / "run" / "checkpoints" / "step_00000009" / "network.weights.safetensors"
    raw = bytearray(newest.read_bytes())
    raw[-1] ^= 1
    newest.write_bytes(raw)
    notes: list[str] = []
    run(tmp_path / "run", resume=True, on_note=notes.append)
    assert len(notes) == 1
    assert str(newest) in notes[0]
    assert same_bits(unbroken, tmp_path / "run")


def test_a_checkpoint_of_another_network_is_refused(unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    notes: list[str] = []
    with pytest.raises(UsageError, match="adversary_from"):
        run(tmp_path / "run", FakeConfig(adversary_from=5), resume=True, on_note=notes.append)
    (tmp_path / "run" / "config.json").unlink()
    import tests.training.fake as fake

    class Larger(fake.Network):
        def __init__(self, noise: bool):
            super().__init__(noise)
            self.more = fake.nn.Linear(1, 1)

    before = fake.Network
    try:
        fake.Network = Larger  # type: ignore[misc]
        with pytest.raises(CheckpointError, match=r"more\.\w+"):
            run(tmp_path / "run", resume=True)
    finally:
        fake.Network = before  # type: ignore[misc]


def test_a_run_is_not_overwritten(unbroken: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        run(unbroken)


def test_a_finished_run_does_not_change(unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    run(tmp_path / "run", resume=True)
    assert same_bits(unbroken, tmp_path / "run")


def test_a_missing_export_is_made_on_resume(unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, files: object) -> None:
        if (tmp_path / "run" / "checkpoints" / "step_00000012").exists():
            raise EnoughError
        write_folder(path, files)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "write_folder", killed)
        with pytest.raises(EnoughError):
            run(tmp_path / "run")
    assert not same_bits(unbroken, tmp_path / "run"), "the model is that of step 9"
    run(tmp_path / "run", resume=True)
    assert same_bits(unbroken, tmp_path / "run")


def test_two_processes_make_a_missing_export(programs: Nursery, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    assert programs.run(str(tmp_path / "run"), processes=2) == 0
    assert same_bits(unbroken, tmp_path / "run")


def test_two_processes_name_the_nonfinite_clips(programs: Nursery, tmp_path: Path) -> None:
    assert programs.run(str(tmp_path / "run"), "nonfinite=[4]", processes=2) == 0
    note = (tmp_path / "run" / "notes").read_text()
    assert note.startswith("step 5: ")
    assert note.endswith("Clips: clip34, clip35"), "the second half of the first micro-batch"


@pytest.mark.parametrize(("step", "micro"), [(4, 0), (5, 1), (6, 0)])
def test_a_data_error_saves_first(
    unbroken: Path, tmp_path: Path, step: int, micro: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = FakeStage.batches

    def torn(self: FakeStage, *place: Any) -> Generator[FakeBatch]:
        for number, batch in enumerate(batches(self, *place)):
            if number == step * SMALL.accumulation + micro:
                raise DataError("clip.mp4: no such file")
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(FakeStage, "batches", torn)
        words = f"clip.mp4: no such file. Saved first: .*run holds step {step} of 12; --resume"
        with pytest.raises(DataError, match=words):
            run(tmp_path / "run")
    assert steps_in(tmp_path / "run" / "checkpoints")[-1] == step
    run(tmp_path / "run", resume=True)
    assert same_bits(unbroken, tmp_path / "run")


def test_a_data_error_before_the_first_step_saves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(self: FakeStage, *place: Any) -> Generator[FakeBatch]:
        raise DataError("clip.mp4: no such file")
        yield

    monkeypatch.setattr(FakeStage, "batches", torn)
    with pytest.raises(DataError, match=r"^clip.mp4: no such file$"):
        run(tmp_path / "run")
    assert steps_in(tmp_path / "run" / "checkpoints") == []


def test_an_error_before_the_first_step_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise UsageError("no such critic")

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "prepare_module", refused)
        with pytest.raises(UsageError):
            run(tmp_path / "run")
    run(tmp_path / "run", FakeConfig(training=replace(SMALL, steps=1)))


def test_a_run_can_be_extended(unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    notes: list[str] = []
    run(tmp_path / "run", FakeConfig(training=replace(SMALL, steps=15)), resume=True, on_note=notes.append)
    assert notes == ["'training.steps' was 12 and is now 15"]
    assert [line["step"] for line in lines(tmp_path / "run") if line["kind"] == "train"] == [2, 4, 6, 8, 10, 12, 14, 15]


@pytest.mark.parametrize(("keep", "keep_every", "left"), [(1, 0, [12]), (2, 0, [10, 12]), (1, 4, [4, 8, 12])])
def test_old_checkpoints_are_removed(tmp_path: Path, keep: int, keep_every: int, left: list[int]) -> None:
    training = replace(SMALL, checkpoint_every=2, keep=keep, keep_every=keep_every)
    run(tmp_path / "run", FakeConfig(training=training))
    assert steps_in(tmp_path / "run" / "checkpoints") == left
    assert [place.name for place in (tmp_path / "run" / "checkpoints").glob(".*")] == []


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(programs: Nursery, tmp_path: Path, kills: int) -> None:
    settings = [f"steps={8 * kills}", "checkpoint_every=2", "log_every=1"]
    calm, killed, draw = tmp_path / "calm", tmp_path / "killed", random.Random(kills)
    assert programs.run(str(calm), *settings) == 0
    for _ in range(kills):
        process = programs.start(str(killed), *settings, "slow=0.02")
        kill_after_lines(process, killed, whole_lines(killed) + draw.randint(1, 6))
        assert programs.outcome() == -signal.SIGKILL
    assert programs.run(str(killed), *settings) == 0
    assert same_bits(calm, killed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_saves_first(programs: Nursery, tmp_path: Path, unbroken: Path, number: int, code: int) -> None:
    process = programs.start(str(tmp_path / "run"), "slow=0.2")
    wait_for_lines(process, tmp_path / "run", 2)
    os.kill(process, number)
    assert programs.outcome() == code
    stopped_at = steps_in(tmp_path / "run" / "checkpoints")[-1]
    assert stopped_at == lines(tmp_path / "run")[-1]["step"] + stopped_at % 2
    assert programs.run(str(tmp_path / "run")) == 0
    assert same_bits(unbroken, tmp_path / "run")
