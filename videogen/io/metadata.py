"""How a video was made, in the tags of its own file: `title` is the prompt, `comment` is JSON.

There are no dates and no program versions: the same video gets the same bytes. The JSON is ASCII, as GIF comments are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videogen.errors import DataError
from videogen.io.errors import VideoError
from videogen.io.reader.container import open_video
from videogen.io.source import NO_LIMITS, open_bytes
from videogen.io.writer.gif_comment import read_comment

KEY = "videogen"
Tags = Mapping[str, str]


def as_tags(metadata: Mapping[str, Any] | None) -> Tags:
    """The two tags of a file; none without metadata. The title is the metadata's `prompt`."""
    if not metadata:
        return {}
    prompt = metadata.get("prompt", "")
    title = " | ".join(prompt) if isinstance(prompt, list | tuple) else str(prompt)
    printable = "".join(letter if letter.isprintable() else " " for letter in title)
    tags = {"title": printable.strip(), "comment": json.dumps({KEY: metadata}, separators=(",", ":"))}
    return {name: text for name, text in tags.items() if text}


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata that `VideoWriter` wrote into a file or a folder of PNGs; {} if it wrote none."""
    try:
        found = json.loads(read_tags(Path(path)).get("comment", ""))
    except ValueError:
        return {}
    metadata = found.get(KEY) if isinstance(found, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def read_tags(path: Path) -> dict[str, str]:
    """All tags of a file by their names in lower case; for a folder, those of its first PNG."""
    if path.is_dir():
        images = sorted(path.glob("*.png"))
        return read_tags(images[0]) if images else {}
    if path.suffix.lower() == ".png":
        return _png_tags(path)
    with open_bytes(path, NO_LIMITS) as file:
        if file.read(4) == b"GIF8":
            comment = read_comment(file)
            return {} if comment is None else {"comment": comment}
    with open_video(path, NO_LIMITS) as video:
        return {name.lower(): text for name, text in video.container.metadata.items()}


def _png_tags(path: Path) -> dict[str, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return {str(name).lower(): text for name, text in image.info.items() if isinstance(text, str)}
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError):
            raise VideoError("missing", path, "no such file") from None
        raise DataError(f"{path}: not an image that can be read ({str(error).splitlines()[0]})") from None
