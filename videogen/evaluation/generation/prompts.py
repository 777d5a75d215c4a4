"""What a generator is asked for when it is judged, and the true clips that it is compared with."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videogen.errors import DataError, UsageError
from videogen.playroom.grammar import OutsideWorldError, caption, parse
from videogen.playroom.scene import Scene, sample_scenes

if TYPE_CHECKING:
    import torch

PLAYROOM = "playroom:"
MAX_CAPTIONS = 100_000  # captions that are looked through
PROMPT_SEED, REFERENCE_SEED = (
    20_260_101,
    20_260_102,
)  # seeds of scenes: the prompts are the same for every model and run
Clips = NDArray[np.uint8]  # [B, T, H, W, 3]


@dataclass(frozen=True)
class Prompts:
    """Captions, and what each asks for as a scene in words; None where it is not about the playroom."""

    name: str
    captions: tuple[str, ...]
    wanted: tuple[Scene | None, ...]
    drawn: tuple[Scene, ...] | None = None  # scenes that can be rendered, where the captions were made from such

    @property
    def about_playroom(self) -> bool:
        return all(scene is not None for scene in self.wanted)


def read_prompts(source: str) -> Prompts:
    """`playroom:N` for the first N of a fixed list of scenes, `playroom:N:red star,hoop` for the first N whose captions
    say one of these, `playroom:N:-hoop` for those that do not, or a text file with a prompt on each line."""
    if source.startswith(PLAYROOM):
        return playroom_prompts(source)
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: no text of prompts ({error}); give a file, or {PLAYROOM}N") from None
    captions = tuple(line.strip() for line in lines if line.strip())
    if not captions:
        raise DataError(f"{source}: holds no prompt; write one on each line")
    return Prompts(source, captions, tuple(map(scene_of, captions)))


def playroom_prompts(source: str) -> Prompts:
    number, _, phrases = source.removeprefix(PLAYROOM).partition(":")
    if not number.isdecimal() or int(number) < 1:
        raise UsageError(f"--prompts is '{source}'; after {PLAYROOM} comes a number of at least 1")
    said = tuple(phrase.strip() for phrase in phrases.split(",") if phrase.strip())
    told = list(islice(captioned_scenes(said), int(number)))
    if len(told) < int(number):
        raise UsageError(f"--prompts is '{source}'; of {MAX_CAPTIONS:,} captions {len(told)} are of that kind")
    captions, drawn = zip(*told, strict=True)
    return Prompts(source, captions, tuple(scene.words() for scene in drawn), drawn)


def captioned_scenes(phrases: tuple[str, ...]) -> Iterator[tuple[str, Scene]]:
    """The fixed list, or what of it says one of the phrases in whole words, and none of those with a minus before."""
    wanted = [phrase for phrase in phrases if not phrase.startswith("-")]
    unwanted = [phrase.removeprefix("-") for phrase in phrases if phrase.startswith("-")]
    for index in range(MAX_CAPTIONS):
        scene = sample_scenes(1, PROMPT_SEED, index)[0]
        told = caption(scene, PROMPT_SEED + index)
        if (not wanted or contains_any(told, wanted)) and not contains_any(told, unwanted):
            yield told, scene


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
    """uint8 [B, frames, height, width, 3] of the playroom itself, from picture number `start` on."""
    import torch

    from videogen.io import fit
    from videogen.playroom.render import render

    clips = render(scenes, frames, max(height, width), fps, start)
    if height == width:
        return clips
    return torch.from_numpy(np.stack([fit(clip, height, width) for clip in clips.numpy()]))


def reference_scenes(count: int, start: int = 0) -> tuple[Scene, ...]:
    """Scenes that no prompt of ours asks for."""
    return tuple(sample_scenes(count, REFERENCE_SEED, start))
