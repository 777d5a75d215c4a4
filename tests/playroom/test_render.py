"""Pixels are a function of scene and time: any window equals that part of the whole, and sizes look alike."""

import numpy as np
import torch

from videogen.playroom.render import coverage, render
from videogen.playroom.scene import COLOURS, Backdrop, Scene, Thing, sample_scenes


def test_any_window_alone_is_that_part_of_the_whole() -> None:
    scenes = sample_scenes(12, 4)
    whole = render(scenes, 60, 32)
    assert torch.equal(render(scenes, 17, 32, start=23), whole[:, 23:40])
    assert torch.equal(render(scenes[5:6], 1, 32, start=59), whole[5:6, 59:])


def test_the_batch_does_not_matter() -> None:
    scenes = sample_scenes(30, 8)
    together = render(scenes, 9, 48)
    assert torch.equal(together, torch.cat([render([scene], 9, 48) for scene in scenes]))


def test_a_larger_picture_is_the_same_picture() -> None:
    scenes = sample_scenes(16, 6)
    small, large = render(scenes, 5, 64).float(), render(scenes, 5, 128).float()
    shrunk = large.unflatten(3, (64, 2)).unflatten(2, (64, 2)).mean((3, 5))
    assert (small - shrunk).abs().mean() < 1.0
    assert ((small - shrunk).abs() > 40).float().mean() < 1e-3  # corners, where one pixel's centre stands for four


def test_the_first_thing_is_in_front() -> None:
    front = Thing("square", "red", "small", "still", None, (0.5, 0.5))
    back = Thing("square", "blue", "large", "still", None, (0.5, 0.5))
    ground = Backdrop("plain", "black")
    picture = render([Scene((front, back), ground), Scene((back, front), ground)], 1, 64)[:, 0]
    assert picture[0, 32, 32].tolist() == list(COLOURS["red"])
    assert picture[0, 32, 24].tolist() == list(COLOURS["blue"])
    assert picture[1, 32, 32].tolist() == list(COLOURS["blue"])


def test_edges_are_smooth_and_areas_exact() -> None:
    disc = Thing("circle", "red", "large", "still", None, (0.31, 0.77))
    cover = coverage("circle", [disc], np.zeros(1), 64, torch.device("cpu"))
    assert abs(float(cover.sum()) / 64**2 - np.pi * 0.205**2) < 2e-3
    assert ((cover > 0.05) & (cover < 0.95)).sum() > 40


def test_a_drifting_thing_is_never_out_of_sight() -> None:
    thing = Thing("ring", "white", "medium", "left", "quickly", (0.2, 0.4))
    clip = render([Scene((thing,), Backdrop("plain", "black"))], 200, 32).float()
    area = clip[0, ..., 0].sum((1, 2))
    assert (area - area.mean()).abs().max() < 0.12 * area.mean()


def test_nothing_at_all() -> None:
    assert render([], 3, 16).shape == (0, 3, 16, 16, 3)
