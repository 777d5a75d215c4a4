"""A run folder has one run and one line a step, whatever was killed when."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from videogen.errors import LockedError, UsageError
from videogen.io import write_video
from videogen.io.contact_sheet import contact_sheet, mosaic
from videogen.training.loop.monitor import debounce
from videogen.training.records.metrics_log import MetricsLog
from videogen.training.records.run_folder import RunFolder, differences
from videogen.training.records.tensorboard import TensorBoardWriter
from videogen.training.records.tracker import BackgroundTracker


def test_the_holder_of_a_lock_is_named(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run"):
        with pytest.raises(LockedError, match=str(os.getpid())), RunFolder(tmp_path / "run"):
            pass
        with RunFolder(tmp_path / "other"):
            pass
    with RunFolder(tmp_path / "run"):
        pass


def test_a_killed_process_releases_the_lock(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        RunFolder(tmp_path / "run").__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {child} ")
    with RunFolder(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()} ")


def test_partial_checkpoints_are_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "run" / "checkpoints" / ".step_00000004.partial"
    leftover.mkdir(parents=True)
    with RunFolder(tmp_path / "run"):
        assert not leftover.exists()


def test_differences_have_dotted_keys() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "e": True}
    assert differences(before, before) == []
    now = {"a": 1.0, "b": {"c": [1, 3], "d": None, "f": "new"}, "e": 1}
    found = [("a", 1, 1.0), ("b.c", [1, 2], [1, 3]), ("b.f", None, "new"), ("e", True, 1)]
    assert differences(before, now) == found


def test_a_changed_configuration_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as run:
        assert not run.has_started
        assert run.check_config({"steps": 1, "rate": (0.1, 0.2)}, frozenset({"steps"})) == []
        assert not run.has_started, "comparing starts nothing"
        run.write_config({"steps": 1, "rate": (0.1, 0.2)})
        assert run.has_started
        now = {"steps": 2, "rate": (0.1, 0.2)}
        assert run.check_config(now, frozenset({"steps"})) == ["'steps' was 1 and is now 2"]
        with pytest.raises(UsageError, match=r"'rate' .*0\.2.*0\.3"):
            run.check_config({"steps": 2, "rate": (0.1, 0.3)}, frozenset({"steps"}))
        run.write_config(now)
        assert json.loads((tmp_path / "run" / "config.json").read_text()) == {
            "version": 2, "steps": 2, "rate": [0.1, 0.2]
        }  # fmt: skip


@pytest.mark.parametrize("fact", ["clips", "tokens", "conditioner", "tokenizer"])
def test_a_changed_dependency_is_refused_without_its_hash(tmp_path: Path, fact: str) -> None:
    with RunFolder(tmp_path / "run") as run:
        run.write_config({fact: "fa59f6fc"})
        with pytest.raises(UsageError, match=r"init_from=|give the same one") as caught:
            run.check_config({fact: "0123abcd"}, frozenset())
        assert "fa59f6fc" not in str(caught.value)
        run.write_config({"tokenizer": {"f_s": 8}})
        with pytest.raises(UsageError, match=r"tokenizer\.f_s"):
            run.check_config({"tokenizer": {"f_s": 16}}, frozenset())


def test_rewinding_drops_later_and_torn_lines(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.rewind(0)
    for step in range(1, 6):
        log.append(step, "train", {"loss": 1 / step, "wild": float("nan"), "speed": {"x": float("inf")}})
    log.close()
    with log.path.open("a") as file:
        file.write('{"step": 2, "kind": "tr')
    log.rewind(3)
    log.append(4, "train", {"loss": 0.0})
    log.close()
    read = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["step"] for line in read] == [1, 2, 3, 4]
    assert read[2] == {"step": 3, "kind": "train", "loss": 1 / 3, "wild": None, "speed": {"x": None}}


def test_an_alarm_fires_once_each_time_it_begins() -> None:
    seen: list[tuple[str, str]] = []
    held: dict[str, int] = {}
    for look, rings in enumerate("..xx.xxxxx..xxxx"):
        alarms = {"a": f"since {look}" if rings == "x" else None, "never": None}
        held = debounce(held, alarms, lambda name, message: seen.append((name, message)))
    assert seen == [("a", "since 7"), ("a", "since 14")]


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_file_in_the_way_is_a_usage_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError), RunFolder(tmp_path / place):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_tensorboard_has_images_and_videos(tmp_path: Path) -> None:
    """Read back from the event file, because torch's own `add_video` fails silently."""
    pytest.importorskip("tensorboard", reason="an optional extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore

    clips = [np.full((5, 16, 24, 3), 40 * number, np.uint8) for number in range(3)]
    for clip in clips:
        clip[:, :, ::3] = np.arange(5, dtype=np.uint8)[:, None, None, None] * 50
    place = tmp_path / "samples" / "step_00000004"
    place.parent.mkdir()
    contact_sheet(clips, ["a", "b", "c"]).save(place.with_suffix(".png"))
    write_video(place.with_suffix(".mp4"), mosaic(clips, columns=3), 8)
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.rewind(0)
    log.trackers = [BackgroundTracker("tensorboard", lambda: TensorBoardWriter(tmp_path / "events", 1), pytest.fail)]
    log.append(4, "train", {"loss": 1.0, "speed": {"clips_per_second": 2.0}})
    log.add_samples(place, 4)
    log.add_samples(tmp_path / "samples" / "nothing", 5)
    log.close()
    board = EventAccumulator(str(tmp_path / "events"))
    board.Reload()
    assert set(board.Tags()["images"]) == {"samples/image", "samples/video"}
    assert [each.value for each in board.Scalars("train/speed/clips_per_second")] == [2.0]
    (still,), (film,) = board.Images("samples/image"), board.Images("samples/video")
    assert still.encoded_image_string == place.with_suffix(".png").read_bytes()
    moving = Image.open(io.BytesIO(film.encoded_image_string))
    assert (moving.format, moving.n_frames, moving.size) == ("GIF", 5, (film.width, film.height))
    assert moving.info["duration"] in (120, 125, 130)
