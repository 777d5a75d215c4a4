"""TensorBoard, where it is installed (the extra `trackers`): numbers, and samples as pictures that move.

A film is put there as a GIF, which a board's list of images plays: torch's own `add_video` needs a package that has
changed since, and without it adds nothing and says nothing.
"""

import io
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from videogen.io import stream, write_video

STILL, FILM = ".png", ".mp4"  # what a stage draws


def is_installed() -> bool:
    return find_spec("tensorboard") is not None


class Board:
    """Events in a folder, from a step on: what was written of later steps before a run was resumed is not shown."""

    def __init__(self, events: Path, first_step: int):
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter
        self._writer = writer(str(events), purge_step=first_step)

    def add(self, kind: str, line: Mapping[str, Any], step: int) -> None:
        for name, value in scalars(line):
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def show(self, place: Path, step: int) -> None:
        """The samples that were drawn into files whose names begin with `place`."""
        still, film = place.with_suffix(STILL), place.with_suffix(FILM)
        if still.is_file():
            self._add_image("samples/still", still.read_bytes(), step)
        if film.is_file():
            self._add_image("samples/film", as_gif(film), step)

    def close(self) -> None:
        self._writer.close()

    def _add_image(self, tag: str, encoded: bytes, step: int) -> None:
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-not-found, unused-ignore]

        width, height = Image.open(io.BytesIO(encoded)).size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def as_gif(film: Path) -> bytes:
    seconds, pictures = zip(*stream(film), strict=True)
    fps = (len(seconds) - 1) / seconds[-1] if len(seconds) > 1 else 1.0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "film.gif"
        write_video(place, np.stack(pictures), fps)
        return place.read_bytes()


def scalars(line: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in line.items():
        if isinstance(value, Mapping):
            found += scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            found.append((prefix + name, float(value)))
    return found
