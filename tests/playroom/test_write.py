"""A playroom set is a function of its configuration, can be extended and resumed, and never mixes settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from videogen.data import build_index
from videogen.errors import DataError
from videogen.io import scan
from videogen.playroom.grammar import parse
from videogen.playroom.score import score_folder
from videogen.playroom.write import PlayroomConfig, preview, write_playroom

CONFIG = PlayroomConfig(clips=6, seed=3, size=32, frames=9)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_configuration_same_bytes_also_in_pieces(tmp_path: Path) -> None:
    write_playroom(tmp_path / "whole", CONFIG)
    write_playroom(tmp_path / "pieces", replace(CONFIG, clips=2))
    write_playroom(tmp_path / "pieces", CONFIG)
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces")
    (tmp_path / "pieces" / "clip_000003.txt").unlink()  # as if killed before it was whole
    (tmp_path / "pieces" / "clip_000003.mp4").write_bytes(b"half")
    write_playroom(tmp_path / "pieces", CONFIG)
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces")


def test_it_is_a_training_set_that_says_what_it_shows(tmp_path: Path) -> None:
    write_playroom(tmp_path, replace(CONFIG, size=64, frames=17))
    index = build_index(tmp_path, workers=1)
    assert len(index.good) == 6
    assert not index.refused
    assert index.good[0].entry.caption == (tmp_path / "clip_000000.txt").read_text().strip()
    assert score_folder(tmp_path)["attributes"] > 0.95


def test_words_and_pairs_are_held_out(tmp_path: Path) -> None:
    config = PlayroomConfig(clips=40, size=16, frames=1, held_out_pairs=("red star",), held_out_words=("tiny", "hoop"))
    write_playroom(tmp_path, config)
    texts = [path.read_text() for path in sorted(tmp_path.glob("*.txt"))]
    assert len(texts) == 40
    assert not any(word in text.split() for word in ("tiny", "hoop") for text in texts)
    things = [thing for text in texts for thing in parse(text).things]
    assert not any((thing.colour, thing.shape) == ("red", "star") for thing in things)


def test_a_folder_keeps_to_one_world(tmp_path: Path) -> None:
    write_playroom(tmp_path, CONFIG)
    with pytest.raises(DataError, match="seed 3"):
        write_playroom(tmp_path, replace(CONFIG, seed=4))
    other = tmp_path / "other"
    other.mkdir()
    (other / "clip_1.mp4").touch()
    with pytest.raises(DataError, match="origin"):
        write_playroom(other, CONFIG)


def test_the_preview_shows_the_clips(tmp_path: Path) -> None:
    write_playroom(tmp_path / "set", CONFIG)
    preview(tmp_path / "set", 8.0, tmp_path / "sheet.png", tmp_path / "reel.mp4")
    reel = scan(tmp_path / "reel.mp4")
    assert (len(reel.pts), reel.height, reel.width) == (9, 2 * 64, 3 * 64)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "wrong",
    [
        {"clips": 0},
        {"size": 4},
        {"fps": 0.0},
        {"quality": 99},
        {"things": (3,)},
        {"held_out_pairs": ("red cat",)},
        {"held_out_words": ("slowly", "gently")},
    ],
)
def test_impossible_configurations_name_the_field(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} "):
        PlayroomConfig(**wrong)  # type: ignore[arg-type]
