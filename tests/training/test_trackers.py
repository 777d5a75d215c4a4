"""Trackers see all of a run, also of one that was resumed; what is wrong with them changes nothing in it."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import PartialState

from tests.training.fake import SMALL, FakeConfig, lines, run
from tests.training.programs import same_bits
from videogen.errors import UsageError
from videogen.io import write_video
from videogen.training.records import open_trackers, services
from videogen.training.records.services import (
    TRACKERS,
    SentRecord,
    Service,
    ServiceTracker,
    flatten,
    prints_to_stderr,
)
from videogen.training.records.tracker import MAX_WAITING, BackgroundTracker

STEPS = [("train", step) for step in range(2, 13, 2)] + [("validation", step) for step in (4, 8, 12)]


class MemoryTracker:
    """A tracker that remembers, and fails where it is told to."""

    def __init__(self, fails_at: str = ""):
        self.seen: list[tuple[str, int]] = []
        self.fails_at = fails_at
        self._fail("open")

    def add_scalars(self, kind: str, line: Mapping[str, Any], step: int) -> None:
        self._fail("scalars")
        self.seen.append((kind, step))

    def add_samples(self, place: Path, step: int) -> None:
        self.seen.append(("samples", step))

    def add_card(self, card: Path) -> None:
        raise AssertionError("the fake model has no card")

    def close(self) -> None:
        self._fail("close")

    def _fail(self, where: str) -> None:
        if where == self.fails_at:
            raise SystemExit("the service says no")


def tracked(monkeypatch: pytest.MonkeyPatch, make: Any) -> FakeConfig:
    """A configuration whose only tracker is what `make` returns."""
    monkeypatch.setattr(open_trackers, "is_installed", lambda: False)
    monkeypatch.setattr(open_trackers, "TRACKERS", {"mlflow": lambda folder, config: make()})
    monkeypatch.setattr(services, "find_spec", lambda name: True)
    return FakeConfig(training=replace(SMALL, trackers=("mlflow",)))


def test_a_tracker_gets_every_line_and_changes_no_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory = MemoryTracker()
    run(tmp_path / "tracked", tracked(monkeypatch, lambda: memory), on_note=pytest.fail)
    run(tmp_path / "plain")
    assert sorted(memory.seen) == sorted([*STEPS, ("samples", 6), ("samples", 12)])
    assert same_bits(tmp_path / "tracked", tmp_path / "plain")


@pytest.mark.parametrize("where", ["open", "scalars", "close"])
def test_one_that_fails_is_left_out_with_one_note(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notes: list[str] = []
    run(tmp_path / "tracked", tracked(monkeypatch, lambda: MemoryTracker(where)), on_note=notes.append)
    assert notes == [
        "the tracker mlflow failed (SystemExit: the service says no); it is left out from now on, the training goes on"
    ]
    assert [line["step"] for line in lines(tmp_path / "tracked") if line["kind"] == "validation"] == [4, 8, 12]


def test_one_that_hangs_is_not_waited_for() -> None:
    released, notes = threading.Event(), []
    tracker = BackgroundTracker("slow", lambda: released.wait() and MemoryTracker(), notes.append)  # type: ignore
    for step in range(MAX_WAITING + 5):
        tracker.put(lambda memory, step=step: memory.add_scalars("train", {}, step))
    assert notes == ["the tracker slow is 1000 events behind; it is left out from now on, the training goes on"]
    released.set()
    hanging = BackgroundTracker("hanging", lambda: time.sleep(1e6), notes.append)  # type: ignore
    hanging.close(seconds=0.01)
    assert notes[1:] == [
        "the tracker hanging had not written all after 0 seconds; it is left out from now on, the training goes on"
    ]


def test_names_that_are_not_installed_are_refused_before_a_run_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names mlflow, which is not installed; `pip install mlflow` adds it"):
        run(tmp_path / "run", FakeConfig(training=replace(SMALL, trackers=("mlflow",))))
    assert not (tmp_path / "run").exists()


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    record = SentRecord(tmp_path, "mlflow")
    assert record.run is None
    record.write("abc")
    record.sent("train", 4)
    again = SentRecord(tmp_path, "mlflow")
    assert (again.run, again.is_new("train", 4), again.is_new("train", 6)) == ("abc", False, True)
    assert again.is_new("validation", 4)
    assert flatten({"a": {"b": 1, "c": [1, 2]}, "d": None}) == {"a.b": 1, "a.c": "[1, 2]", "d": None}


def send_a_run(service: Service, folder: Path) -> None:
    """Twice, as if it had been resumed from step 2 after step 4 was sent."""
    PartialState(cpu=True)  # that of a training, without which accelerate's trackers do not log
    config = {"training": {"steps": 4}, "stage": "fake"}
    place = folder / "samples" / "step_00000004"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_video(place.with_suffix(".mp4"), services_clip(), 8)
    (folder / "README.md").write_text("# a card")
    for steps in ((2, 4), (4, 6)):
        tracker: ServiceTracker = TRACKERS[service](folder, config)
        for step in steps:
            tracker.add_scalars("train", {"step": step, "loss": 1 / step, "speed": {"x": 2.0}, "alarms": []}, step)
        tracker.add_samples(place, 4)
        tracker.add_card(folder / "README.md")
        tracker.close()


def services_clip() -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 255, (5, 16, 24, 3), dtype=np.uint8)


def test_what_services_print_goes_to_stderr_and_what_others_print_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began, may_end = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def service(number: int) -> None:
        with prints_to_stderr():
            print(f"service {number}")
            began[number].set()
            may_end[number].wait()

    threads = [threading.Thread(target=service, args=[number]) for number in range(2)]
    for thread, event in zip(threads, began, strict=True):
        thread.start()
        event.wait()
    print("while they hang")
    for thread, event in zip(threads, may_end, strict=True):  # the first to begin is the first to end
        event.set()
        thread.join()
        print("after one")
    said = capsys.readouterr()
    assert said.out == "while they hang\nafter one\nafter one\n"
    assert said.err == "service 0\nservice 1\n"


@pytest.mark.services
@pytest.mark.filterwarnings("ignore")
def test_mlflow_shows_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    send_a_run("mlflow", tmp_path / "run")
    (found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    client = mlflow.MlflowClient()
    assert found.data.params == {"training.steps": "4", "stage": "fake"}
    assert [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, "train/loss")] == [
        (2, 0.5), (4, 0.25), (6, 1 / 6),
    ]  # fmt: skip
    assert mlflow.artifacts.load_text(f"runs:/{found.info.run_id}/model_card.md") == "# a card"
    assert [file.path for file in client.list_artifacts(found.info.run_id, "samples")] == ["samples/step_00000004.mp4"]
    assert found.info.status == "FINISHED"


@pytest.mark.services
@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    send_a_run("wandb", tmp_path / "run")
    wandb.teardown()  # its own process writes the files
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    history = [row for file in files for row in rows_of(file)]
    assert [(row["_step"], row["train/loss"]) for row in history] == [(2, 0.5), (4, 0.25), (6, 1 / 6)]
    assert {file.stem for file in files} == {f"run-{SentRecord(tmp_path / 'run', 'wandb').run}"}
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/videos/samples/*.mp4"))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/model_card.md"))


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows of an offline run."""
    from wandb.proto import wandb_internal_pb2  # type: ignore

    found = []
    for data in records_in(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            found.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return [row for row in found if "train/loss" in row]


def records_in(raw: bytes, block: int = 2**15, header: int = 7) -> Iterator[bytes]:
    """The file is a log in LevelDB's format: records in pieces, each with a checksum, a length and a kind."""
    place, record = header, b""  # the first piece follows a header of the file
    while place < len(raw):
        if block - place % block < header:
            place += block - place % block
            continue
        length, kind = int.from_bytes(raw[place + 4 : place + 6], "little"), raw[place + 6]
        record += raw[place + header : place + header + length]
        place += header + length
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b""


@pytest.mark.services
@pytest.mark.filterwarnings("ignore")
def test_trackio_shows_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage  # type: ignore

    send_a_run("trackio", tmp_path / "run")
    logged = SQLiteStorage.get_logs("videogen", SentRecord(tmp_path / "run", "trackio").run)
    rows = [row for row in logged if "train/loss" in row]
    assert [(row["step"], row["train/loss"]) for row in rows] == [(2, 0.5), (4, 0.25), (6, 1 / 6)]
    assert list((tmp_path / "trackio").rglob("*.mp4"))
