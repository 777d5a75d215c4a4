"""TensorBoard events, where TensorBoard is installed (the extra `trackers`): scalars, images and videos.

Videos are added as GIFs, which TensorBoard plays in its list of images. torch's own `add_video` needs a package whose
interface has changed, and without it adds nothing, silently.
"""

import io
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from videogen.io import stream, write_video
from videogen.training.records.tracker import flatten_scalars

IMAGE, VIDEO = ".png", ".mp4"  # suffixes of a stage's samples


def is_installed() -> bool:
    return find_spec("tensorboard") is not None


class TensorBoardWriter:
    """Events in a folder. Events at or after `first_step`, from before a run was resumed, are hidden."""

    def __init__(self, events: Path, first_step: int):
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter
        self._writer = writer(str(events), purge_step=first_step)

    def add_scalars(self, kind: str, line: Mapping[str, Any], step: int) -> None:
        for name, value in flatten_scalars(line):
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def add_samples(self, place: Path, step: int) -> None:
        """Add the image and the video in files whose names begin with `place`."""
        image, video = place.with_suffix(IMAGE), place.with_suffix(VIDEO)
        if image.is_file():
            self._add_image("samples/image", image.read_bytes(), step)
        if video.is_file():
            self._add_image("samples/video", as_gif(video), step)

    def add_card(self, card: Path) -> None:
        self._writer.add_text("model card", card.read_text(encoding="utf-8"))

    def close(self) -> None:
        self._writer.close()

    def _add_image(self, tag: str, encoded: bytes, step: int) -> None:
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-not-found, unused-ignore]

        width, height = Image.open(io.BytesIO(encoded)).size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def as_gif(video: Path) -> bytes:
    seconds, frames = zip(*stream(video), strict=True)
    fps = (len(seconds) - 1) / seconds[-1] if len(seconds) > 1 else 1.0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "video.gif"
        write_video(place, np.stack(frames), fps)
        return place.read_bytes()
