"""What a command's video goes on from: a picture or a clip, looked at before the model is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.cli.terminal import Terminal
from videogen.errors import UsageError

if TYPE_CHECKING:
    from videogen.conditioning_frames import ConditioningFrames
    from videogen.io import Scan
    from videogen.io.images import Frames
    from videogen.pipeline import VideoPipeline


@dataclass(frozen=True, eq=False)
class Beginning:
    """A picture, a clip, a clip as a folder of pictures, or nothing.

    A clip that is to be shown was read once to the end and found whole; of one that is only gone on from, its container
    was checked, and frames are checked where they are read, at its end.
    """

    picture: "Frames | None" = None  # of a folder the first
    path: Path = Path()
    seen: "Scan | None" = None
    stills: Sequence[Path] = ()

    @staticmethod
    def of(image: Path | None, video: Path | None, shown: bool = False) -> "Beginning":
        from videogen.io import probe, scan
        from videogen.io.images import load_image, stills_in

        if image is not None and video is not None:
            raise UsageError("--image and --video are two beginnings; give one")
        if image is not None:
            return Beginning(load_image(image), image)
        if video is not None and video.is_dir():
            stills = stills_in(video)
            return Beginning(load_image(stills[0]), video, stills=stills)
        return Beginning() if video is None else Beginning(None, video, (scan if shown else probe)(video))

    def known(self, pipe: "VideoPipeline", size: tuple[int, int], videos: int) -> "ConditioningFrames":
        """The picture, or the end of the clip, as all videos know it."""
        import numpy as np

        from videogen.conditioning_frames import condition_on_clip, condition_on_image, frames_of_use
        from videogen.io import fit

        if self.seen is not None or self.stills:
            last = list(self.clip(pipe, size, frames_of_use(pipe.model)))
            return condition_on_clip(pipe.model, np.stack(last)).repeated(videos)
        if self.picture is not None:
            return condition_on_image(pipe.model, fit(self.picture[None], *size)[0]).repeated(videos)
        return pipe.conditioning(None, None, *size).repeated(videos)

    def clip(self, pipe: "VideoPipeline", size: tuple[int, int], last: int | None = None) -> "Iterator[Frames]":
        """The pictures [H, W, 3] of the clip at the model's frame rate and in this size, or only the last of them."""
        from videogen.io.images import clip_frames, still_frames

        if self.stills:
            return still_frames(self.stills, *size, last)
        assert self.seen is not None
        return clip_frames(self.path, self.seen, pipe.fps, *size, last)

    def pictures(self, fps: float) -> int:
        """How many the clip has at a model's frame rate; those of a folder are taken to be at that rate."""
        from videogen.io.images import shown_numbers

        return len(self.stills) if self.seen is None else len(shown_numbers(self.seen, fps))

    def note_changes(self, terminal: Terminal, pipe: "VideoPipeline", size: tuple[int, int]) -> None:
        """Say what of it the model does not see as it is."""
        if self.picture is None and self.seen is None:
            return
        from videogen.generation_warnings import changed_on_the_way

        if self.seen is not None and self.seen.missing_frames:
            terminal.note(f"{self.path}: holds one frame fewer than its header promises; nothing else is wrong with it")
        if self.seen is not None:
            pictures = self.seen.height, self.seen.width
            changes = changed_on_the_way(pictures, size, self.seen.fps, pipe.fps, self.seen.transparent_frames)
        else:
            assert self.picture is not None
            changes = changed_on_the_way(self.picture.shape[:2], size, None, pipe.fps)
        if changes:
            terminal.note(f"{self.path}: as the model sees it, {', '.join(changes)}")
