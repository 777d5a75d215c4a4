"""What a video was made with, in the metadata of its own file: `title` is for people, `comment` holds it all as JSON.

No dates and no versions of programs: the same video gets the same bytes. The JSON is ASCII, as GIF comments must be.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videogen.errors import DataError
from videogen.io.errors import VideoError

KEY = "videogen"
Tags = Mapping[str, str]


def as_tags(metadata: Mapping[str, Any] | None) -> Tags:
    """The two tags; none without metadata. Its `prompt`, where there is one, becomes the title."""
    if not metadata:
        return {}
    prompt = metadata.get("prompt", "")
    title = " | ".join(prompt) if isinstance(prompt, list | tuple) else str(prompt)
    printable = "".join(letter if letter.isprintable() else " " for letter in title)
    tags = {"title": printable.strip(), "comment": json.dumps({KEY: metadata}, separators=(",", ":"))}
    return {name: text for name, text in tags.items() if text}


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `VideoWriter` wrote into a file, or into the pictures of a folder; {} where it wrote nothing."""
    try:
        found = json.loads(tags_of(Path(path)).get("comment", ""))
    except ValueError:
        return {}
    metadata = found.get(KEY) if isinstance(found, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def tags_of(path: Path) -> dict[str, str]:
    """All tags of a file by their names in small letters; those of the first picture of a folder."""
    if path.is_dir():
        pictures = sorted(path.glob("*.png"))
        return tags_of(pictures[0]) if pictures else {}
    if path.suffix.lower() == ".png":
        return _png_tags(path)
    from videogen.io.reader.random_access import EVERYTHING
    from videogen.io.reader.strict import opened
    from videogen.io.source import open_bytes
    from videogen.io.writer.gif_comment import read_comment

    with open_bytes(path, EVERYTHING) as file:
        if file.read(4) == b"GIF8":
            comment = read_comment(file)
            return {} if comment is None else {"comment": comment}
    with opened(path, EVERYTHING) as video:
        return {name.lower(): text for name, text in video.container.metadata.items()}


def _png_tags(path: Path) -> dict[str, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return {str(name).lower(): text for name, text in image.info.items() if isinstance(text, str)}
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError):
            raise VideoError("missing", path, "no such file") from None
        raise DataError(f"{path}: not a picture that can be read ({str(error).splitlines()[0]})") from None
