"""Prompts of an evaluation, and the true clips to compare with."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from videogen.errors import DataError, UsageError
from videogen.playroom.grammar import OutsideWorldError, caption, parse
from videogen.playroom.scene import Scene, sample_scenes

if TYPE_CHECKING:
    import torch

PLAYROOM = "playroom:"
MAX_CAPTIONS = 100_000  # that are searched for phrases
PROMPT_SEED, REFERENCE_SEED = (
    20_260_101,
    20_260_102,
)  # fixed, so that prompts are the same for every model and run


@dataclass(frozen=True)
class Prompts:
    """Captions, and the scene that each describes; None if it is not about the playroom."""

    name: str
    captions: tuple[str, ...]
    wanted: tuple[Scene | None, ...]
    drawn: tuple[Scene, ...] | None = None  # scenes to render, if the captions were made from scenes

    @property
    def about_playroom(self) -> bool:
        return all(scene is not None for scene in self.wanted)


def read_prompts(source: str) -> Prompts:
    """Prompts from `playroom:N`, the first N of a fixed list, or from a text file with a prompt on each line.

    `playroom:N:red star,hoop` takes captions that contain one of the phrases, `playroom:N:-hoop` those without it.
    """
    if source.startswith(PLAYROOM):
        return playroom_prompts(source)
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: cannot read prompts ({error}); give a text file, or {PLAYROOM}N") from None
    captions = tuple(line.strip() for line in lines if line.strip())
    if not captions:
        raise DataError(f"{source}: contains no prompt; write one on each line")
    return Prompts(source, captions, tuple(map(scene_of, captions)))


def playroom_prompts(source: str) -> Prompts:
    number, _, phrases = source.removeprefix(PLAYROOM).partition(":")
    if not number.isdecimal() or int(number) < 1:
        raise UsageError(f"--prompts is '{source}'; {PLAYROOM} must be followed by a number of at least 1")
    wanted = tuple(phrase.strip() for phrase in phrases.split(",") if phrase.strip())
    found = list(islice(captioned_scenes(wanted), int(number)))
    if len(found) < int(number):
        raise UsageError(f"--prompts is '{source}'; of {MAX_CAPTIONS:,} captions only {len(found)} match")
    captions, drawn = zip(*found, strict=True)
    return Prompts(source, captions, tuple(scene.words() for scene in drawn), drawn)


def captioned_scenes(phrases: tuple[str, ...]) -> Iterator[tuple[str, Scene]]:
    """The fixed list, filtered by phrases in whole words; a minus before a phrase excludes it."""
    wanted = [phrase for phrase in phrases if not phrase.startswith("-")]
    unwanted = [phrase.removeprefix("-") for phrase in phrases if phrase.startswith("-")]
    for index in range(MAX_CAPTIONS):
        scene = sample_scenes(1, PROMPT_SEED, index)[0]
        text = caption(scene, PROMPT_SEED + index)
        if (not wanted or contains_any(text, wanted)) and not contains_any(text, unwanted):
            yield text, scene


def contains_any(caption: str, phrases: Sequence[str]) -> bool:
    return any(re.search(rf"\b{re.escape(phrase)}\b", caption) for phrase in phrases)


def scene_of(text: str) -> Scene | None:
    try:
        return parse(text)
    except OutsideWorldError:
        return None


def true_clips(
    scenes: tuple[Scene, ...], frames: int, height: int, width: int, fps: float, start: int = 0
) -> "torch.Tensor":
    """Rendered clips, uint8 [B, frames, height, width, 3], from frame number `start` on."""
    import torch

    from videogen.io import fit
    from videogen.playroom.render import render

    clips = render(scenes, frames, max(height, width), fps, start)
    if height == width:
        return clips
    return torch.from_numpy(np.stack([fit(clip, height, width) for clip in clips.numpy()]))


def reference_scenes(count: int, start: int = 0) -> tuple[Scene, ...]:
    """Scenes that no prompt asks for."""
    return tuple(sample_scenes(count, REFERENCE_SEED, start))
