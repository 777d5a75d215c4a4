"""Pictures to files and back, under the names and with the arguments that users of `diffusers` know."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.known import as_frames
from videogen.video import stream, write_video

if TYPE_CHECKING:
    from PIL.Image import Image


def export_to_video(video_frames: Any, output_video_path: str | Path | None = None, fps: float = 10) -> str:
    """One video, such as `pipe(...).frames[0]` of any output type but ids, into a file; gives its path.

    The suffix says which form: .mp4, .webm, .gif, or a folder of PNGs without one. By default a temporary .mp4.
    """
    return exported(video_frames, output_video_path, fps, ".mp4")


def export_to_gif(image: Any, output_gif_path: str | Path | None = None, fps: float = 10) -> str:
    """The same as a .gif, also under a name without a suffix."""
    return exported(image, output_gif_path, fps, ".gif")


def exported(frames: Any, path: str | Path | None, fps: float, suffix: str) -> str:
    if path is None:
        with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:
            path = file.name
    elif suffix == ".gif" and Path(path).suffix.lower() != suffix:
        path = f"{path}{suffix}"
    write_video(path, as_frames(frames), fps)
    return str(path)


def load_video(
    video: str | Path, convert_method: "Callable[[list[Image]], list[Image]] | None" = None
) -> "list[Image]":
    """All pictures of a file, read strictly: VideoError for one that is damaged. `convert_method` changes the list."""
    from PIL import Image

    pictures = [Image.fromarray(picture) for _, picture in stream(Path(video))]
    return pictures if convert_method is None else convert_method(pictures)
