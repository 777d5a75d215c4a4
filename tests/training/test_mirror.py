"""A mirrored run: what is in the bucket is whole, and goes on as if the run had never stopped."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.training.fake import SMALL, FakeConfig, run
from tests.training.programs import same_bits
from tests.training.test_resume import stopped_after
from videogen.errors import UsageError
from videogen.storage import RemotePath, transfer
from videogen.training.loop import mirror
from videogen.training.loop.mirror_fetch import fetch_missing_run

URL = RemotePath("memory://bucket/runs")
MIRRORED = FakeConfig(training=replace(SMALL, mirror=URL))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("VIDEOGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDEOGEN_STORAGE_SECONDS", "0.01")
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run(folder)
    return folder


def resume_from_the_bucket(folder: Path) -> None:
    shutil.rmtree(folder)
    assert fetch_missing_run(URL, folder, lambda note: None)
    run(folder, MIRRORED, resume=True)


@pytest.mark.parametrize("step", [4, 8])
def test_resumed_from_the_bucket_alone(bucket: Any, unbroken: Path, tmp_path: Path, step: int) -> None:
    stopped_after(tmp_path / "run", step, MIRRORED)
    resume_from_the_bucket(tmp_path / "run")
    assert same_bits(unbroken, tmp_path / "run")
    assert not (tmp_path / "run" / ".mirror").exists()


def test_uploads_that_break_at_any_object_leave_a_whole_run(
    bucket: Any, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = transfer.upload, [0]

    def breaking(place: Path, target: RemotePath) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionError("the network is away")
        real(place, target)

    monkeypatch.setattr(mirror, "upload", breaking)
    for allowed in range(0, 60, 13):
        left[0] = allowed
        stopped_after(tmp_path / "run", 8, MIRRORED)
        shutil.rmtree(tmp_path / "run")
        if fetch_missing_run(URL, tmp_path / "run", lambda note: None):
            left[0] = 1000
            run(tmp_path / "run", MIRRORED, resume=True)
            assert same_bits(unbroken, tmp_path / "run")
            shutil.rmtree(tmp_path / "run")
        bucket.rm("/", recursive=True)
    assert left[0] > 0, "the last of them had nothing broken"


def test_a_failing_upload_is_a_note_and_the_next_checkpoint_brings_all(
    bucket: Any, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, notes = mirror.publish, []

    def failing(staged: Path, step: int, *given: Any) -> None:
        if step < 12:
            raise ConnectionError("the network is away")
        real(staged, step, *given)

    monkeypatch.setattr(mirror, "publish", failing)
    run(tmp_path / "run", MIRRORED, on_note=notes.append)
    assert any("is not in memory://bucket/runs/run (ConnectionError: the network is away)" in note for note in notes)
    assert same_bits(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    assert fetch_missing_run(URL, tmp_path / "run", notes.append)
    assert same_bits(unbroken, tmp_path / "run")


def test_the_bucket_holds_what_the_folder_holds_and_no_more(bucket: Any, tmp_path: Path) -> None:
    run(tmp_path / "run", MIRRORED)
    kept = {place.name for place in (tmp_path / "run" / "checkpoints").iterdir()}
    there = {name.split("/")[5].partition("-")[0] for name in bucket.find("/bucket/runs/run/checkpoints")}
    assert there <= kept
    assert max(there) == max(kept)
    assert len({name.split("/")[5] for name in bucket.find("/bucket/runs/run/model")}) == 1


def test_another_run_of_the_name_is_refused(bucket: Any, tmp_path: Path) -> None:
    run(tmp_path / "run", MIRRORED)
    with pytest.raises(UsageError, match="the mirror holds a run of this name"):
        run(tmp_path / "elsewhere" / "run", MIRRORED)


def test_a_snapshot_cannot_write_outside_of_the_run(bucket: Any, tmp_path: Path) -> None:
    run(tmp_path / "run", MIRRORED)
    shutil.rmtree(tmp_path / "run")
    snapshot = json.loads(bucket.cat("/bucket/runs/run/snapshot.json"))
    snapshot["files"].append("../outside.json")
    bucket.pipe("/bucket/runs/run/snapshot.json", json.dumps(snapshot).encode())
    with pytest.raises(ValueError, match="leads out of"):
        fetch_missing_run(URL, tmp_path / "run", lambda note: None)
    assert not (tmp_path / "outside.json").exists()


def test_a_mirror_is_a_url() -> None:
    with pytest.raises(ValueError, match="mirror is /tmp; it must be a URL"):
        replace(SMALL, mirror=Path("/tmp"))
