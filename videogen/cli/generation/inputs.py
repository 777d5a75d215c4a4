"""The image or clip that a generated video continues, opened before the model is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.cli.terminal import Terminal
from videogen.errors import UsageError

if TYPE_CHECKING:
    from videogen.generation.conditioning_frames import ConditioningFrames
    from videogen.io import Scan
    from videogen.io.images import Frames
    from videogen.pipeline import VideoPipeline


@dataclass(frozen=True, eq=False)
class GenerationInput:
    """An image, a video file, a folder of images, or nothing.

    A clip that the output shows was decoded once from start to end. Of a clip that is only continued, the container was
    checked; its last frames are checked when they are read.
    """

    image: "Frames | None" = None  # of a folder, the first
    path: Path = Path()
    scan: "Scan | None" = None
    images: Sequence[Path] = ()

    @staticmethod
    def open(image: Path | None, video: Path | None, shown: bool = False) -> "GenerationInput":
        from videogen.io import probe, scan
        from videogen.io.images import load_image, stills_in

        if image is not None and video is not None:
            raise UsageError("--image and --video both say how the video starts; give one")
        if image is not None:
            return GenerationInput(load_image(image), image)
        if video is not None and video.is_dir():
            images = stills_in(video)
            return GenerationInput(load_image(images[0]), video, images=images)
        return GenerationInput() if video is None else GenerationInput(None, video, (scan if shown else probe)(video))

    def conditioning(self, pipe: "VideoPipeline", size: tuple[int, int]) -> "ConditioningFrames":
        """The image or the end of the clip as frames and tokens."""
        import numpy as np

        from videogen.generation.conditioning_frames import condition_on_clip, condition_on_image, frames_of_use
        from videogen.io import fit

        if self.scan is not None or self.images:
            last = list(self.frames(pipe, size, frames_of_use(pipe.model)))
            return condition_on_clip(pipe.model, np.stack(last))
        if self.image is not None:
            return condition_on_image(pipe.model, fit(self.image[None], *size)[0])
        return pipe.conditioning(None, None, *size)

    def frames(self, pipe: "VideoPipeline", size: tuple[int, int], last: int | None = None) -> "Iterator[Frames]":
        """The frames [H, W, 3] of the clip at the model's frame rate and in this size, or only the last ones."""
        from videogen.io.images import clip_frames, still_frames

        if self.images:
            return still_frames(self.images, *size, last)
        assert self.scan is not None
        return clip_frames(self.path, self.scan, pipe.fps, *size, last)

    def num_frames(self, fps: float) -> int:
        """The number of frames of the clip at a model's frame rate; a folder of images has that rate already."""
        from videogen.io.images import numbers_from_end

        return len(self.images) if self.scan is None else len(numbers_from_end(self.scan, fps))

    def note_changes(self, terminal: Terminal, pipe: "VideoPipeline", size: tuple[int, int]) -> None:
        """Print how the frames that the model sees differ from those of the file."""
        if self.image is None and self.scan is None:
            return
        from videogen.generation.generation_warnings import input_changes

        if self.scan is not None and self.scan.missing_frames:
            terminal.note(f"{self.path}: has one frame fewer than its header says; it is otherwise whole")
        if self.scan is not None:
            original = self.scan.height, self.scan.width
            changes = input_changes(original, size, self.scan.fps, pipe.fps, self.scan.transparent_frames)
        else:
            assert self.image is not None
            changes = input_changes(self.image.shape[:2], size, None, pipe.fps)
        if changes:
            terminal.note(f"{self.path}: as the model sees it, {', '.join(changes)}")
