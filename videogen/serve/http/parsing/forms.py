"""Forms: text fields and at most one file, which is passed on while it arrives."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request

from videogen.serve.errors import UploadError
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.bodies import BODY_SECONDS
from videogen.serve.http.parsing.multipart import iter_parts
from videogen.serve.http.parsing.schema import quote
from videogen.serve.limits import ServerLimits
from videogen.serve.requests import InitialFrames

UploadKind = Literal["video", "image"]
ReceiveUpload = Callable[[AsyncIterator[bytes], UploadKind], Awaitable[InitialFrames]]
MAX_FIELDS = 40
IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
SNIFF_BYTES = 12  # enough to recognize an image


@dataclass
class Form:
    """The text fields, and the frames of the file; its name and media type are ignored."""

    fields: dict[str, str] = field(default_factory=dict)
    file: str | None = None  # the field that held it
    initial_frames: InitialFrames | None = None


async def read_form(
    request: Request, files: Mapping[str, UploadKind | None], receive: ReceiveUpload, limits: ServerLimits
) -> Form:
    """`files` maps the fields that are files to their kind; None: recognize it from the first bytes."""
    form, left = Form(), limits.body_bytes
    max_bytes, seconds = limits.upload_bytes + limits.body_bytes, limits.receive_seconds + BODY_SECONDS
    async with aclosing(iter_parts(request, max_bytes, seconds)) as parts:
        async for name, data in parts:
            check_duplicates(form, name, name in files)
            if name in files:
                form.file, form.initial_frames = name, await receive_file(data, files[name], receive)
            else:
                form.fields[name] = await read_text(name, data, left)
                left -= len(name) + len(form.fields[name])
    return form


def check_duplicates(form: Form, name: str, is_file: bool) -> None:
    if is_file and form.file is not None:
        raise ApiError(400, f"the form has a second file, {quote(name)}; only one is allowed", name, "twice")
    if name in form.fields:
        raise ApiError(400, f"the field {quote(name)} is given twice", name, "twice")
    if len(form.fields) == MAX_FIELDS:
        raise ApiError(400, f"the form has more than {MAX_FIELDS} fields", code="too_many_fields")


async def receive_file(data: AsyncIterator[bytes], kind: UploadKind | None, receive: ReceiveUpload) -> InitialFrames:
    start = b""
    async for chunk in data:
        start += chunk
        if len(start) >= SNIFF_BYTES:
            break
    if not start:
        raise UploadError("the file is empty")
    return await receive(prepend(start, data), kind or sniff_kind(start))


async def prepend(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in rest:
        yield chunk


def sniff_kind(start: bytes) -> UploadKind:
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return "image" if webp or start.startswith(IMAGE_SIGNATURES) else "video"


async def read_text(name: str, data: AsyncIterator[bytes], max_bytes: int) -> str:
    text = b""
    async for chunk in data:
        text += chunk
        if len(text) > max_bytes:
            raise ApiError(413, f"the text of the form is too long, in {quote(name)}", code="body_too_large")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ApiError(400, f"the field {quote(name)} is not UTF-8", name, "wrong_value") from None
