"""Small real videos; the colors of each frame differ from those of every other frame of every clip."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from videogen.io import write_video

MakeClip = Callable[..., Path]
MakeSet = Callable[..., Path]


def pictures(seed: int, frames: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """uint8 [T, H, W, 3]: four blocks of color that change from frame to frame."""
    colours = np.random.default_rng(seed).integers(0, 256, (frames, 2, 2, 3), dtype=np.uint8)
    return colours.repeat(height // 2, axis=1).repeat(width // 2, axis=2)


@pytest.fixture
def make_clip() -> MakeClip:
    def make(path: Path, seed: int = 0, frames: int = 9, fps: float = 8, caption: str | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, pictures(seed, frames), fps)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption)
        return path

    return make


@pytest.fixture
def make_set(make_clip: MakeClip) -> MakeSet:
    def make(folder: Path, clips: int = 6, frames: int = 9) -> Path:
        for number in range(clips):
            make_clip(folder / f"clip_{number:03}.mp4", seed=number, frames=frames, caption=f"caption {number}")
        return folder

    return make
