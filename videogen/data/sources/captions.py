"""Captions from the bytes of the file beside a video.

A caption is the whole text of its file: UTF-8, without a byte order mark, with line feeds as line ends, and without
white space around it. No file, an empty file and a JSON without "caption" all mean the empty caption.
"""

import json

from videogen.data.sources.entry import ReadFailure

MAX_BYTES = 1 << 20  # of a caption file; a JSON may hold more than the caption


def caption_from_text(raw: bytes) -> str | ReadFailure:
    try:
        return normalize_caption(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return ReadFailure("caption", f"the caption is not UTF-8 (byte {error.start})")
    except ValueError as error:
        return ReadFailure("caption", str(error))


def caption_from_json(raw: bytes) -> str | ReadFailure:
    """The text under "caption" of a JSON object."""
    try:
        fields = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return ReadFailure("caption", "the file beside the video is not JSON")
    caption = fields.get("caption", "") if isinstance(fields, dict) else fields
    if not isinstance(fields, dict) or not isinstance(caption, str):
        return ReadFailure("caption", 'the file beside the video must be a JSON object with a text under "caption"')
    try:
        return normalize_caption(caption)
    except ValueError as error:
        return ReadFailure("caption", str(error))


def normalize_caption(caption: str) -> str:
    """The caption with line feeds and without white space around it; ValueError if it is not text."""
    if "\0" in caption:
        raise ValueError("the caption holds a zero character, so it is not UTF-8 text")
    if any("\ud800" <= letter <= "\udfff" for letter in caption):
        raise ValueError("the caption holds half a surrogate pair, so it is not Unicode text")
    return caption.replace("\r\n", "\n").replace("\r", "\n").strip()
