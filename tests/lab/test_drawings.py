"""Drawings have the details that they claim, are the same at every call, and no test word is trained on."""

import random
from pathlib import Path

import numpy as np
import pytest

from videogen.clip_spec import ClipSpec
from videogen.io import read, scan
from videogen.lab.drawings.drawing import draw_things, moving
from videogen.lab.drawings.exam import LINE_WIDTHS, SHAPE_SIDES, SPEEDS, WORD_SIZES, questions
from videogen.lab.drawings.stamps import SHAPES, line_stamp, shape_stamp, word_stamp
from videogen.lab.drawings.words import LENGTH, LETTERS, is_held_out, random_word
from videogen.lab.drawings.write import training_drawing, write_drawings

SPEC = ClipSpec(64, 64, 8.0, 5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [2, 3, 8])
def test_a_shape_fills_its_square(shape: str, side: int) -> None:
    stamp = shape_stamp(shape, side)
    assert stamp.shape == (side, side)
    assert 0 <= stamp.min() <= stamp.max() <= 1
    assert (stamp[[0, -1]] > 0).any(axis=1).all()
    assert (stamp[:, [0, -1]] > 0).any(axis=0).all()
    assert stamp.mean() == pytest.approx(
        {"disc": np.pi / 4, "square": 1, "triangle": 0.5, "cross": 5 / 9}[shape], abs=0.05
    )


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 135])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_line_has_the_ink_of_its_width_and_length(width: int, degrees: float) -> None:
    assert line_stamp(width, 24, degrees).sum() == pytest.approx(24 * width, rel=0.1)


def test_a_line_at_an_angle_goes_down_to_the_right() -> None:
    stamp = line_stamp(1, 24, 45)
    assert np.diagonal(stamp).min() > 0.3
    assert np.diagonal(stamp[::-1])[:6].max() == 0


def test_a_word_grows_with_its_font() -> None:
    heights = [word_stamp("TEXT", size).shape[0] for size in (10, 13, 16)]
    assert heights == sorted(set(heights))
    assert 0.6 < heights[1] / 13 < 0.85


@pytest.mark.parametrize("speed", [0, 1, 16, 70])
def test_things_move_by_their_speed_and_stay_inside(speed: int) -> None:
    thing = moving(shape_stamp("square", 6), ClipSpec(64, 64, 8.0, 30), speed, random.Random(3))
    places = np.array(thing.places)
    assert places.min() >= 0
    assert places.max() <= 58
    steps = np.abs(np.diff(places, axis=0)).sum(1)
    assert steps.max() <= speed
    assert np.median(steps) == speed or speed > 58


def test_ink_is_where_the_things_are() -> None:
    thing = moving(shape_stamp("square", 4), SPEC, 2, random.Random(1))
    drawing = draw_things([thing], SPEC, random.Random(2))
    for ink, (row, column) in zip(drawing.ink, thing.places, strict=True):
        assert ink.sum() == 16
        assert ink[row : row + 4, column : column + 4].all()
    assert drawing.frames[~drawing.ink].max() <= 70
    assert drawing.frames[drawing.ink].min() >= 185


def test_the_exam_asks_for_every_detail_and_is_the_same_at_every_call() -> None:
    first, second = list(questions(SPEC)), list(questions(SPEC))
    asked = {(each.kind, each.number) for each in first}
    expected = {"words": WORD_SIZES, "shapes": SHAPE_SIDES, "lines": LINE_WIDTHS, "motion": SPEEDS}
    assert asked == {(kind, number) for kind, numbers in expected.items() for number in numbers}
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.drawing.frames, other.drawing.frames)
    assert all(each.drawing.frames.shape == (5, 64, 64, 3) for each in first)


def test_what_is_too_large_for_the_frames_is_not_asked() -> None:
    small = list(questions(ClipSpec(16, 16, 8.0, 2)))
    assert {each.kind for each in small} == {"shapes", "motion"}
    training_drawing(ClipSpec(16, 16, 8.0, 2), 0, 0)


def test_no_word_of_the_test_is_trained_on() -> None:
    chance = random.Random(0)
    trained = {random_word(chance, held_out=False) for _ in range(300)}
    tested = {each.word for each in questions(SPEC) if each.word}
    assert len(tested) == 24
    assert all(map(is_held_out, tested))
    assert not any(map(is_held_out, trained))
    assert {letter for word in trained for letter in word} == set(LETTERS)
    assert {len(word) for word in trained | tested} == {LENGTH}


def test_a_folder_of_drawings_is_resumed(tmp_path: Path) -> None:
    write_drawings(tmp_path, 2, SPEC, seed=4)
    before = (tmp_path / "drawing_000000.mp4").stat().st_mtime_ns
    write_drawings(tmp_path, 3, SPEC, seed=4)
    assert sorted(place.name for place in tmp_path.iterdir()) == [f"drawing_{number:06}.mp4" for number in range(3)]
    assert (tmp_path / "drawing_000000.mp4").stat().st_mtime_ns == before
    place = tmp_path / "drawing_000002.mp4"
    frames = read(place, range(len(scan(place).pts))).astype(int)
    drawn = training_drawing(SPEC, 4, 2).frames.astype(int)
    assert np.abs(frames - drawn).mean() < 3
    assert not np.array_equal(drawn, training_drawing(SPEC, 5, 2).frames)
