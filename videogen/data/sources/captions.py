"""From the bytes beside a video to its caption.

A caption is the whole text of its file: UTF-8, a byte order mark dropped, line ends made one line feed, white space
around it removed. No file, an empty file and a JSON without "caption" all mean the empty caption.
"""

import json

from videogen.data.sources.entry import Fault

MAX_BYTES = 1 << 20  # of a caption file; a JSON beside a clip may hold more than its caption


def caption_from_text(raw: bytes) -> str | Fault:
    try:
        return tidy(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Fault("caption", f"the caption is not UTF-8 (byte {error.start})")
    except ValueError as error:
        return Fault("caption", str(error))


def caption_from_json(raw: bytes) -> str | Fault:
    """The text under "caption" of a JSON object."""
    try:
        fields = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Fault("caption", "the file beside the video is not JSON")
    caption = fields.get("caption", "") if isinstance(fields, dict) else fields
    if not isinstance(fields, dict) or not isinstance(caption, str):
        return Fault("caption", 'the file beside the video must be a JSON object with a text under "caption"')
    try:
        return tidy(caption)
    except ValueError as error:
        return Fault("caption", str(error))


def tidy(caption: str) -> str:
    """The caption in its one form; ValueError if it is no text."""
    if "\0" in caption:
        raise ValueError("the caption holds a zero character: it is no text, or not UTF-8")
    if any("\ud800" <= letter <= "\udfff" for letter in caption):
        raise ValueError("the caption holds half a surrogate pair: it is no Unicode text")
    return caption.replace("\r\n", "\n").replace("\r", "\n").strip()
