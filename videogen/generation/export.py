"""Frames to files and back, with the names and arguments of `diffusers`."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.errors import UsageError
from videogen.io import OutputFormat, read_along, scan, stream, write_video
from videogen.io.images import as_frames, numbers_from_end

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from videogen.io.writer.output_format import Resampling


def export_to_video(
    video_frames: Any,
    output_video_path: str | Path | None = None,
    fps: float = 10,
    scale: float | tuple[int, int] | None = None,
    resampling: "Resampling" = "lanczos",
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Writes one video, such as `pipe(...).frames[0]` of any output type but codes, to a file; returns its path.

    The suffix sets the format: .mp4, .m4v, .mov, .mkv, .webm, .avi, .gif, or no suffix for a folder of PNGs. The
    default path is a temporary .mp4. `scale` is a factor or a size (height, width). `metadata`, such as
    `pipe(...).metadata[0]`, is stored in the file; `read_metadata` returns it.
    """
    return write_frames(video_frames, output_video_path, fps, ".mp4", scale, resampling, metadata)


def export_to_gif(
    image: Any,
    output_gif_path: str | Path | None = None,
    fps: float = 10,
    scale: float | tuple[int, int] | None = None,
    resampling: "Resampling" = "lanczos",
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Writes a .gif, and appends that suffix if it is missing; see `export_to_video`."""
    return write_frames(image, output_gif_path, fps, ".gif", scale, resampling, metadata)


def write_frames(
    frames: Any,
    path: str | Path | None,
    fps: float,
    suffix: str,
    scale: float | tuple[int, int] | None,
    resampling: "Resampling",
    metadata: Mapping[str, Any] | None,
) -> str:
    try:
        output = OutputFormat(scale=scale, resampling=resampling)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if path is None:
        with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:
            path = file.name
    elif suffix == ".gif" and Path(path).suffix.lower() != suffix:
        path = f"{path}{suffix}"
    write_video(path, as_frames(frames), fps, output, metadata)
    return str(path)


def load_video(
    video: str | Path,
    convert_method: "Callable[[list[Image]], list[Image]] | None" = None,
    fps: float | None = None,
) -> "list[Image]":
    """All frames of a file, or resampled to `fps`: use `pipe.fps` for a clip to continue, because a list has no rate.

    VideoError for a damaged file. `convert_method` is applied to the list.
    """
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames_at_rate(Path(video), fps)]
    return images if convert_method is None else convert_method(images)


def frames_at_rate(path: Path, fps: float | None) -> "Iterator[NDArray[np.uint8]]":
    if fps is None:
        yield from (frame for _, frame in stream(path))
        return
    if not 0 < fps < float("inf"):
        raise UsageError(f"fps is {fps}; it must be above 0")
    seen = scan(path)
    yield from read_along(path, numbers_from_end(seen, fps).tolist(), seen)
