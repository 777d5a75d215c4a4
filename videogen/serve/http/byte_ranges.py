"""A finished film, whole or the part of it that was asked for."""

import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from videogen.serve.http.errors import Problem

RANGE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?", re.IGNORECASE)


class Film(FileResponse):
    """One range is served, one beyond the end is refused; what is no range, or several, is answered with the whole."""

    def __init__(self, path: Path, name: str, request: Request) -> None:
        size, asked = path.stat().st_size, request.headers.get("range", "")
        if is_range(asked) and not within(asked, size):
            message = f"there are {size} bytes, and none in the range that was asked for"
            raise Problem(416, message, code="range", headers={"Content-Range": f"bytes */{size}"})
        self._whole = not is_range(asked)
        super().__init__(path, media_type="video/mp4", filename=name, headers={"Cache-Control": "private, no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._whole:
            without = [(name, value) for name, value in Headers(scope=scope).raw if name != b"range"]
            scope = {**scope, "headers": without}
        await super().__call__(scope, receive, send)


def is_range(asked: str) -> bool:
    found = RANGE.fullmatch(asked)
    if found is None or not any(found.groups()):
        return False
    first, last = found.groups()
    return first is None or last is None or int(first) <= int(last)


def within(asked: str, size: int) -> bool:
    """Whether a range has any byte of so many."""
    found = RANGE.fullmatch(asked)
    assert found is not None
    first, last = found.groups()
    return size > 0 and (int(first) < size if first is not None else int(last) > 0)
