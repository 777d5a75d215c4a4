"""Scenes are functions of seed and number, and poses are functions of time."""

import numpy as np
import pytest

from videogen.playroom.scene import COLOURS, DRIFTS, MOTIONS, NEVER_SPIN, SHAPES, SIZES, Thing, pose, sample_scenes


def test_a_scene_depends_on_seed_and_number_alone() -> None:
    assert sample_scenes(20, 3)[7:12] == sample_scenes(5, 3, start=7)
    assert sample_scenes(20, 3) != sample_scenes(20, 4)


def test_everything_there_is_comes_up() -> None:
    scenes = sample_scenes(600, 0)
    things = [thing for scene in scenes for thing in scene.things]
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {thing.size for thing in things} == set(SIZES)
    assert {thing.motion for thing in things} == set(MOTIONS)
    assert len({scene.backdrop for scene in scenes}) == 18
    assert {len(scene.things) for scene in scenes} == {1, 2}


def test_what_cannot_be_told_apart_does_not_exist() -> None:
    for scene in sample_scenes(400, 1):
        assert len({thing.colour for thing in scene.things}) == len(scene.things)
        assert not any(thing.motion == "spins" and thing.shape in NEVER_SPIN for thing in scene.things)
        assert all((thing.speed is None) == (thing.motion == "still") for thing in scene.things)


def test_held_out_pairs_never_come_up() -> None:
    held_out = [("red", "star"), ("blue", "ring")]
    everything = [(t.colour, t.shape) for scene in sample_scenes(800, 2) for t in scene.things]
    assert set(held_out) <= set(everything)
    reduced = sample_scenes(800, 2, held_out_pairs=held_out)
    assert not {(t.colour, t.shape) for scene in reduced for t in scene.things} & set(held_out)


def test_things_stay_in_the_picture_for_ever() -> None:
    seconds = np.linspace(0, 10_000, 5001)
    for scene in sample_scenes(150, 5):
        for thing in scene.things:
            x, y, radius, _ = pose(thing, seconds)
            if thing.motion in DRIFTS:  # goes through the border and comes back
                assert ((x >= 0) & (x < 1) & (y >= 0) & (y < 1)).all()
            else:
                assert (x - radius > -1e-9).all()
                assert (x + radius < 1 + 1e-9).all()
                assert (y - radius > -1e-9).all()
                assert (y + radius < 1 + 1e-9).all()


@pytest.mark.parametrize(
    "words",
    [
        ("hexagon", "red", "small", "left", "slowly"),
        ("circle", "mauve", "small", "left", "slowly"),
        ("circle", "red", "small", "still", "slowly"),
        ("circle", "red", "small", "spins", "slowly"),
        ("circle", "red", "small", "left", "fast"),
    ],
)
def test_impossible_things_are_refused(words: tuple[str, str, str, str, str]) -> None:
    with pytest.raises(ValueError):
        Thing(*words)
