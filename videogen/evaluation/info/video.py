"""Description of a video file: its container, and how it was generated."""

from pathlib import Path
from typing import Any

from videogen.data.sources.entry import is_video_name
from videogen.generation.metadata import in_words
from videogen.io import probe, read_metadata, read_tags

FRAME_FILE = "frame_[0-9]*.png"  # in a folder of frames


def is_video(path: Path) -> bool:
    """Whether the path is a video file, a PNG, or a folder of numbered PNG frames."""
    if path.is_dir():
        return next(path.glob(FRAME_FILE), None) is not None
    return is_video_name(path.name) or path.suffix.lower() == ".png"


def describe_video(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures and lines; VideoError for an unreadable file."""
    metadata = read_metadata(path)
    figures, lines = (
        _describe_frames(path) if path.is_dir() or path.suffix.lower() == ".png" else _describe_container(path)
    )
    if metadata:
        lines |= in_words(metadata)
    else:
        lines["made with"] = "unknown: no videogen metadata"
    return {**figures, "metadata": metadata}, lines


def _describe_container(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    seen = probe(path)
    frames = len(seen.pts)
    figures = {
        "container": seen.container,
        "codec": seen.codec,
        "height": seen.height,
        "width": seen.width,
        "fps": seen.fps,
        "frames": frames,
        "tags": read_tags(path),
    }
    seconds = f", {frames / seen.fps:.2f} seconds" if seen.fps else ""
    return figures, {
        "video": f"{frames} frames of {seen.height} x {seen.width} at {seen.fps:.4g} a second{seconds}",
        "format": f"{path.suffix.lower()}, {seen.codec}",
    }


def _describe_frames(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from PIL import Image

    tags = read_tags(path)
    frames = sorted(path.glob(FRAME_FILE)) if path.is_dir() else [path]
    with Image.open(frames[0]) as image:
        width, height = image.size
    figures = {"container": "png", "height": height, "width": width, "frames": len(frames), "tags": tags}
    return figures, {
        "video": f"{len(frames)} {'frame' if len(frames) == 1 else 'frames'} of {height} x {width}",
        "format": "PNG",
    }
