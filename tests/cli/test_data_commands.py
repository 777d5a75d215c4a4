"""`videogen data`, from the command line to what is printed, written and returned, on a few small clips."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from videogen.cli import main
from videogen.io import read, scan
from videogen.playroom.grammar import parse
from videogen.playroom.write import PlayroomConfig

Captured = pytest.CaptureFixture[str]
SMALL = ["--clips", "4", "--size", "64", "--frames", "5", "--seed", "1"]
FRAME, GAP, COLUMNS = 128, 4, 5  # a sheet shows frames of 64 pixels twice as large, and all 5 of a clip


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips and their index; tests that change anything take a copy."""
    folder = tmp_path_factory.mktemp("sets") / "toys"
    assert main(["data", "playroom", str(folder), *SMALL, "--quiet"]) == 0
    assert main(["data", "index", str(folder), "--workers", "1", "--quiet"]) == 0
    return folder


@pytest.fixture
def toys(indexed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(indexed, tmp_path / "toys"))  # copies keep the times that the index knows


def figures(capsys: Captured, *arguments: str | Path, words: str = "") -> dict[str, Any]:
    """What a command prints as JSON, with nothing beside it; or with one line of these words where it ends with 3."""
    capsys.readouterr()
    assert main(["data", *map(str, arguments), "--json"]) == (3 if words else 0)
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == (1 if words else 0)
    found: dict[str, Any] = json.loads(out)
    return found


def refusal(capsys: Captured, code: int, *arguments: str | Path) -> str:
    """The one line that a command that goes wrong prints, with nothing beside it."""
    capsys.readouterr()
    assert main(["data", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("videogen: ")
    assert err.count("\n") == 1
    return err


def damage(clip: Path) -> None:
    """Cut a video off in the middle of a frame."""
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])


def test_playroom_writes_the_requested_clips(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "toys"
    assert main(["data", "playroom", str(out), *SMALL, "fps=12", "things=[1]"]) == 0
    assert capsys.readouterr().out == f"4 clips of 5 frames, 64 x 64, in {out}\n"
    videos = sorted(out.glob("*.mp4"))
    assert [path.name for path in videos] == [f"clip_{number:06}.mp4" for number in range(4)]
    for path in videos:
        seen = scan(path)
        assert (seen.width, seen.height, len(seen.pts)) == (64, 64, 5)
        assert seen.fps == pytest.approx(12)
        assert len(parse(path.with_suffix(".txt").read_text()).things) == 1


def test_the_command_line_overrides_the_playroom_configuration(tmp_path: Path, capsys: Captured) -> None:
    config = tmp_path / "small.yaml"
    config.write_text("schema: playroom\nclips: 2\nsize: 32\nframes: 3\nseed: 5\n")
    assert figures(capsys, "playroom", tmp_path / "toys", "--config", config, "--frames", "2") == {
        "folder": str(tmp_path / "toys"),
        "clips": 2,
    }
    seen = scan(tmp_path / "toys" / "clip_000001.mp4")
    assert (seen.width, len(seen.pts)) == (32, 2)


def test_the_help_states_the_defaults(capsys: Captured) -> None:
    assert main(["data", "playroom", "--help"]) == 0
    said, holds = " ".join(capsys.readouterr().out.split()), PlayroomConfig()
    for name in ("clips", "seed", "size", "frames", "fps"):
        assert re.search(rf"--{name} [^-]*\[default: {getattr(holds, name):g}\]", said), name


def test_playroom_extends_a_set_of_the_same_configuration_only(toys: Path, capsys: Captured) -> None:
    before = (toys / "clip_000000.mp4").stat()
    assert figures(capsys, "playroom", toys, *SMALL, "--clips", "5")["clips"] == 5
    assert len(list(toys.glob("*.mp4"))) == 5
    assert (toys / "clip_000000.mp4").stat() == before
    assert "seed 1, not 2" in refusal(capsys, 3, "playroom", toys, *SMALL, "--seed", "2")


@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/toys", "notes.txt/toys/more"])
def test_a_file_in_the_way_is_an_error_before_any_work(
    out: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("mine")
    for command in (
        ["data", "playroom", out],
        ["train", "prior", "nowhere.yaml", "--tokenizer", "nowhere", "--run", out],
        ["train", "tokenizer", "nowhere.yaml", "--run", out],
        ["evaluate", "tokenizer", "nowhere", "--model", "nowhere", "--out", out],
        ["evaluate", "generation", "--prompts", "playroom:1", "--out", out],
        ["encode", "nowhere", out, "--model", "nowhere"],
    ):
        assert main(command) == 2
        assert "notes.txt: a file is in the way" in capsys.readouterr().err
    assert Path("notes.txt").read_text() == "mine"


def test_playroom_previews(tmp_path: Path, capsys: Captured) -> None:
    sheet, reel = tmp_path / "sheet.png", tmp_path / "reel.mp4"
    assert main(["data", "playroom", str(tmp_path / "toys"), *SMALL, "--sheet", str(sheet), "--reel", str(reel)]) == 0
    with Image.open(sheet) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
    seen = scan(reel)
    assert (seen.width, seen.height, len(seen.pts)) == (2 * 2 * 64, 2 * 2 * 64, 5)  # 2 x 2 clips, twice as large


def test_a_wrong_key_names_the_nearest_one(tmp_path: Path, capsys: Captured) -> None:
    message = refusal(capsys, 2, "playroom", tmp_path / "toys", "clip=3")
    assert "'clip'" in message
    assert "'clips'" in message
    assert not (tmp_path / "toys").exists()


def test_index_counts_clips(toys: Path, capsys: Captured) -> None:
    found = figures(capsys, "index", toys, "--workers", "1")
    assert {name: found[name] for name in ("data", "files", "clips", "good", "refused", "frames")} == {
        "data": str(toys),
        "files": 4,
        "clips": 4,
        "good": 4,
        "refused": 0,
        "frames": 20,
    }
    assert found["hours"] == pytest.approx(20 / 8 / 3600, abs=1e-6)
    assert found["sizes"] == {"64x64": 4}
    assert found["damage"] == {}
    assert main(["data", "index", str(toys), "--workers", "1"]) == 0
    assert f"{toys}: 4 good clips, 0 refused, in 4 files\n" in capsys.readouterr().out


def test_a_damaged_clip_is_refused_by_name_and_counted(toys: Path, capsys: Captured) -> None:
    damage(toys / "clip_000002.mp4")
    found = figures(capsys, "index", toys, "--workers", "1")
    assert (found["good"], found["refused"]) == (3, 1)
    (told,) = found["damage"].values()
    assert (told["count"], told["example"], told["path"]) == (1, "clip_000002.mp4", str(toys / "clip_000002.mp4"))
    assert main(["data", "check", str(toys)]) == 0
    out = capsys.readouterr().out
    assert "3 good clips, 1 refused" in out
    assert "such as clip_000002.mp4" in out
    assert f"  {next(iter(found['damage']))}: 1, such as clip_000002.mp4: {told['detail']}\n" in out


def test_a_set_without_a_good_clip_is_an_error(toys: Path, capsys: Captured) -> None:
    for clip in toys.glob("*.mp4"):
        damage(clip)
    for command in (["index", toys, "--workers", "1"], ["check", toys]):
        found = figures(capsys, *command, words="all 4 were refused")
        assert (found["good"], found["refused"]) == (0, 4), "it is told all the same what was found"


def test_the_index_can_be_in_another_place(toys: Path, tmp_path: Path, capsys: Captured) -> None:
    (toys / "videogen-index.jsonl").unlink()
    elsewhere = tmp_path / "elsewhere.jsonl"
    assert figures(capsys, "index", toys, "--out", elsewhere, "--workers", "1")["index"] == str(elsewhere)
    assert not (toys / "videogen-index.jsonl").exists()
    assert figures(capsys, "check", toys, "--index", elsewhere)["good"] == 4
    assert "no index there" in refusal(capsys, 3, "check", toys)


def test_check_lists_changed_files(toys: Path, capsys: Captured) -> None:
    assert figures(capsys, "check", toys)["changed"] == []
    damage(toys / "clip_000001.mp4")
    (toys / "clip_000003.txt").write_text("something else")
    changed = figures(capsys, "check", toys, words="2 files differ")["changed"]
    assert [(change["key"], change["kind"]) for change in changed] == [
        ("clip_000001.mp4", "changed"),
        ("clip_000003.mp4", "changed"),
    ]
    assert main(["data", "check", str(toys)]) == 3
    out = capsys.readouterr().out
    assert "changed since it was indexed: clip_000001.mp4" in out
    assert f"run `videogen data index {toys}` again" in out


def test_a_full_check_compares_frames(toys: Path, capsys: Captured) -> None:
    clip = toys / "clip_000000.mp4"
    status, raw = clip.stat(), bytearray(clip.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    clip.write_bytes(raw)
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert figures(capsys, "check", toys)["changed"] == []
    changed = figures(capsys, "check", toys, "--full", words="1 files differ")["changed"]
    assert [change["key"] for change in changed] == [clip.name]


def test_check_draws_a_contact_sheet(toys: Path, tmp_path: Path, capsys: Captured) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["data", "check", str(toys), "--sheet", str(sheet), "--clips", "2"]) == 0
    assert str(sheet) in capsys.readouterr().err
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width == COLUMNS * FRAME + (COLUMNS - 1) * GAP + 2 * GAP
        assert 2 * FRAME < picture.height < 3 * FRAME  # two rows of frames and their captions
        shown = _first_frame(picture, GAP)
    (drawn,) = read(toys / "clip_000000.mp4", [0])
    assert np.array_equal(shown, drawn.repeat(2, axis=0).repeat(2, axis=1))


def test_an_existing_sheet_is_kept_without_overwrite(toys: Path, tmp_path: Path, capsys: Captured) -> None:
    sheet = tmp_path / "sheet.png"
    sheet.write_text("mine")
    assert f"{sheet}: already exists; --overwrite" in refusal(capsys, 2, "check", toys, "--sheet", sheet)
    assert sheet.read_text() == "mine"
    assert main(["data", "check", str(toys), "--sheet", str(sheet), "--overwrite"]) == 0
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


def _first_frame(picture: Image.Image, top: int) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"))[top : top + FRAME, GAP : GAP + FRAME]


def test_score_compares_captions_with_pixels(tmp_path: Path, capsys: Captured) -> None:
    assert main(["data", "playroom", str(tmp_path / "toys"), *SMALL, "--frames", "17", "--quiet"]) == 0
    right = figures(capsys, "score", tmp_path / "toys")
    assert right["clips"] == 4
    assert right["attributes"] > 0.9
    assert right["by_attribute"]["colour"] == 1
    texts = sorted((tmp_path / "toys").glob("*.txt"))
    shuffled = [path.read_text() for path in texts[1:] + texts[:1]]
    for path, text in zip(texts, shuffled, strict=True):
        path.write_text(text)
    (tmp_path / "toys" / "videogen-index.jsonl").unlink()
    wrong = figures(capsys, "score", tmp_path / "toys")
    assert wrong["attributes"] < 0.6
    assert wrong["all_correct"] == 0
    assert len(wrong["wrong"]) == 4


def test_score_prints_a_table(toys: Path, capsys: Captured) -> None:
    assert main(["data", "score", str(toys)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 clips judged by their pixels: ")
    assert "  ground colour   100.00%\n" in out


def test_score_needs_playroom_captions(toys: Path, capsys: Captured) -> None:
    for path in toys.glob("*.txt"):
        path.write_text("a dog runs along a beach")
    (toys / "videogen-index.jsonl").unlink()
    assert "none of 4 captions is about the playroom" in refusal(capsys, 3, "score", toys)


@pytest.mark.parametrize("command", ["index", "check", "score"])
def test_a_missing_path_is_one_line(command: str, tmp_path: Path, capsys: Captured) -> None:
    assert str(tmp_path / "nowhere") in refusal(capsys, 3, command, tmp_path / "nowhere")


@pytest.mark.parametrize("command", ["index", "score"])
def test_a_folder_without_videos_is_one_line(command: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "notes.md").write_text("no videos here")
    assert "holds no videos" in refusal(capsys, 3, command, tmp_path)


def test_a_bad_manifest_line_is_named(tmp_path: Path, capsys: Captured) -> None:
    manifest = tmp_path / "clips.csv"
    manifest.write_text("path,caption,start,end\na.mp4,a thing,2,1\n")
    assert f"{manifest}:2: 'end' is 1.0" in refusal(capsys, 3, "index", manifest)


def test_quiet_prints_only_the_result(toys: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["data", "check", str(toys), "--sheet", str(tmp_path / "sheet.png"), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out != ""
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["playroom", "toys", "--clips", "1", "--sheet", "sheet.foo"], 2, "does not end in .png"),
        (["playroom", "toys", "--clips", "1", "--reel", "missing/reel.mp4"], 2, "is no folder"),
        (["playroom", "toys", "--clips", "1", "held_out_words=[hop]"], 2, "did you mean 'hoop'?"),
        (["check", "nowhere"], 3, "nowhere: no such file or folder"),
    ],
)
def test_errors_come_before_any_work(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == code
    assert words in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_damaged_recipe_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "playroom.json").write_text("{")
    assert main(["data", "playroom", str(tmp_path), "--clips", "1"]) == 3
    assert "not JSON" in capsys.readouterr().err


def test_a_reel_of_single_frames(tmp_path: Path) -> None:
    reel = tmp_path / "reel.mp4"
    assert main(["data", "playroom", str(tmp_path / "toys"), "--clips", "2", "--frames", "1", "--reel", str(reel)]) == 0
    assert len(scan(reel).pts) == 1
