"""A step with numbers that are not finite is skipped; three in a row stop the run and name the clips."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.fake import SMALL, FakeConfig, FakeStage, lines, run
from tests.training.programs import last_tensors
from videogen.errors import NumbersError
from videogen.training.loop.stage import LossOutput


def nonfinite_at(*steps: int) -> FakeConfig:
    return FakeConfig(training=replace(SMALL, log_every=1, checkpoint_every=1, keep=99), nonfinite=steps)


def test_a_skipped_step_changes_only_the_position(tmp_path: Path) -> None:
    from videogen.checkpoint import read_folder

    notes: list[str] = []
    run(tmp_path / "run", nonfinite_at(4), on_note=notes.append)
    before, after = (read_folder(tmp_path / "run" / "checkpoints" / f"step_{step:08}") for step in (4, 5))
    for name in before.hashes:
        if name.endswith(".safetensors"):
            a, b = before.tensors(name), after.tensors(name)
            assert all(torch.equal(a[key], b[key]) for key in a), name
    positions = [folder.json("state.json")["progress"]["position"] for folder in (before, after)]
    assert positions == [{"sample": 32}, {"sample": 40}]
    assert len(notes) == 1
    assert notes[0].startswith("step 5: ")
    assert "clip32, clip33, clip34, clip35" in notes[0]
    assert "clip36" not in notes[0], "the second micro-batch was fine"
    assert [line["skipped"] for line in lines(tmp_path / "run") if line["kind"] == "train"] == [0] * 4 + [1] + [0] * 7


def test_three_nonfinite_steps_in_a_row_stop_the_run(tmp_path: Path) -> None:
    run(tmp_path / "two", nonfinite_at(2, 3, 5, 6))
    assert all(bool(tensor.isfinite().all()) for tensor in last_tensors(tmp_path / "two").values())
    with pytest.raises(NumbersError, match=r"step 5: .*total/network.*clip16.*clip24.*clip32"):
        run(tmp_path / "three", nonfinite_at(2, 3, 4))
    assert all(bool(tensor.isfinite().all()) for tensor in last_tensors_of_checkpoint(tmp_path / "three").values())


def last_tensors_of_checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in last_tensors(folder).items() if name.startswith("step_")}


def test_the_count_survives_a_restart(tmp_path: Path) -> None:
    with pytest.raises(NumbersError, match=r"clip16.*clip24"):
        run(tmp_path / "run", nonfinite_at(2, 3, 4))
    with pytest.raises(NumbersError, match=r"clip16.*clip24"):
        run(tmp_path / "run", nonfinite_at(2, 3, 4), resume=True)


class SteepStage(FakeStage):
    """Finite losses, a gradient that is not."""

    def losses(self, batch, step, distributed):  # type: ignore[no-untyped-def]
        y = distributed.modules["network"](batch.x)[0]
        zero = (y - y.detach()).square().sum()
        yield LossOutput("network", y.square().mean() + (zero.sqrt() if step == 1 else 0), {})


def test_a_nonfinite_gradient_skips_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.training.fake as fake

    monkeypatch.setattr(fake, "FakeStage", SteepStage)
    notes: list[str] = []
    run(tmp_path / "run", on_note=notes.append)
    assert [note.partition(";")[0] for note in notes] == ["step 2: gradient/network not finite"]
