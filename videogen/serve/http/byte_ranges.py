"""A finished video file, whole or in part."""

import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from videogen.serve.http.errors import ApiError

RANGE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?", re.IGNORECASE)


class VideoFileResponse(FileResponse):
    """Serves one range and refuses one beyond the end; invalid or multiple ranges get the whole file."""

    def __init__(self, path: Path, name: str, request: Request) -> None:
        size, header = path.stat().st_size, request.headers.get("range", "")
        if is_range(header) and not overlaps(header, size):
            message = f"the range is beyond the end of the file, which has {size} bytes"
            raise ApiError(416, message, code="range", headers={"Content-Range": f"bytes */{size}"})
        self._whole = not is_range(header)
        super().__init__(path, media_type="video/mp4", filename=name, headers={"Cache-Control": "private, no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._whole:
            without = [(name, value) for name, value in Headers(scope=scope).raw if name != b"range"]
            scope = {**scope, "headers": without}
        await super().__call__(scope, receive, send)


def is_range(header: str) -> bool:
    found = RANGE.fullmatch(header)
    if found is None or not any(found.groups()):
        return False
    first, last = found.groups()
    return first is None or last is None or int(first) <= int(last)


def overlaps(header: str, size: int) -> bool:
    """Whether a range contains a byte of a file of this size."""
    found = RANGE.fullmatch(header)
    assert found is not None
    first, last = found.groups()
    return size > 0 and (int(first) < size if first is not None else int(last) > 0)
