"""The oracle reads what was rendered, through codecs and noise, and does not simply agree with captions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from videogen.io import read, write_video
from videogen.playroom.oracle import look
from videogen.playroom.render import render
from videogen.playroom.scene import COLOURS, Scene, sample_scenes
from videogen.playroom.score import Score


def untouched(clips: torch.Tensor, folder: Path) -> torch.Tensor:
    return clips


def through_h264(clips: torch.Tensor, folder: Path) -> torch.Tensor:
    """Written and read back at moderate quality (crf 28), colors at half the resolution."""
    from videogen.io import VideoWriter

    path = folder / "clip.mp4"
    back = []
    for clip in clips.numpy():
        with VideoWriter(path, 8, clip.shape[1], clip.shape[2], quality=28) as writer:
            writer.write(clip)
        back.append(read(path, range(len(clip))))
    return torch.from_numpy(np.stack(back))


def blurred_and_noisy(clips: torch.Tensor, folder: Path) -> torch.Tensor:
    """A 3 x 3 binomial blur and Gaussian noise of 8 grey levels."""
    pixels = clips.flatten(0, 1).permute(0, 3, 1, 2).float()
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    pixels = functional.conv2d(functional.pad(pixels, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    pixels += torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)) * 8
    return pixels.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, clips.shape[:2])


def scored(
    scenes: list[Scene],
    harm: Callable[[torch.Tensor, Path], torch.Tensor],
    folder: Path,
    size: int = 64,
    start: int = 0,
) -> Score:
    score = Score()
    for first in range(0, len(scenes), 64):
        some = scenes[first : first + 64]
        for scene, seen in zip(some, look(harm(render(some, 17, size, start=start), folder)), strict=True):
            score.add(scene.words(), seen.scene)
    return score


@pytest.mark.parametrize("harm", [untouched, through_h264, blurred_and_noisy])
def test_nearly_every_attribute_is_right(harm: Callable[[torch.Tensor, Path], torch.Tensor], tmp_path: Path) -> None:
    figures = scored(sample_scenes(64, 21), harm, tmp_path).figures()
    assert figures["attributes"] >= 0.99
    assert min(figures["by_attribute"].values()) >= 0.96


@pytest.mark.slow
@pytest.mark.parametrize("harm", [untouched, through_h264, blurred_and_noisy])
def test_two_thousand_scenes(harm: Callable[[torch.Tensor, Path], torch.Tensor], tmp_path: Path) -> None:
    figures = scored(sample_scenes(2000, 22), harm, tmp_path).figures()
    print(harm.__name__, figures["all_correct"], figures["by_attribute"])
    assert min(figures["by_attribute"].values()) >= 0.99


def test_larger_pictures(tmp_path: Path) -> None:
    assert scored(sample_scenes(16, 23), through_h264, tmp_path, size=128).figures()["attributes"] >= 0.99


def test_a_window_deep_in_a_long_rollout(tmp_path: Path) -> None:
    scenes = sample_scenes(48, 24, things=(1,))
    assert scored(scenes, untouched, tmp_path, start=983).figures()["attributes"] >= 0.99


def test_captions_of_other_clips_score_near_chance() -> None:
    scenes = sample_scenes(96, 25)
    score = Score()
    for scene, seen in zip(scenes[1:] + scenes[:1], look(render(scenes, 17, 64)), strict=True):
        score.add(scene.words(), seen.scene)
    figures = score.figures()
    assert figures["all_correct"] == 0
    assert figures["by_attribute"]["colour"] < 0.35  # 3 of 8 at the most: a clip shows two colours at the most
    assert figures["by_attribute"]["shape"] < 0.2
    assert figures["by_attribute"]["ground colour"] < 0.35


def test_an_empty_room_and_pure_noise_are_no_surprise() -> None:
    empty = torch.zeros(1, 5, 64, 64, 3, dtype=torch.uint8)
    noise = torch.randint(0, 256, (1, 5, 64, 64, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    assert look(empty)[0].scene.things == ()
    assert len(look(noise)[0].scene.things) <= 2
    assert look(empty[:, :1])[0].scene.backdrop.colour == "black"


def test_wrong_answers_are_counted_under_their_names() -> None:
    scene = sample_scenes(1, 26, things=(1,))[0]
    thing = scene.things[0]
    other = next(colour for colour in COLOURS if colour != thing.colour)
    score = Score()
    assert score.add(scene.words(), scene.words())
    recoloured = Scene((type(thing)(thing.shape, other, thing.size, thing.motion, thing.speed),), scene.backdrop)
    assert not score.add(scene.words(), recoloured)
    figures = score.figures()
    assert figures["all_correct"] == 0.5
    assert figures["by_attribute"]["colour"] == 0.5
    assert figures["confusions"]["colour"] == [{"asked": thing.colour, "shown": "nothing", "clips": 1}]


def test_a_folder_is_scored_by_its_captions(tmp_path: Path) -> None:
    from videogen.playroom.score import describe, score_folder

    clips = render(sample_scenes(2, 27), 17, 64).numpy()
    write_video(tmp_path / "a.mp4", clips[0], 8)
    (tmp_path / "a.txt").write_text("something else altogether")
    write_video(tmp_path / "b.mp4", clips[1], 8)
    (tmp_path / "b.txt").write_text("a small red ring drifts left slowly over a dark blue background")
    figures = score_folder(tmp_path)
    assert figures["clips"] == 1
    assert figures["outside"] == ["a.mp4"]
    assert "1 clips judged" in describe(figures)
