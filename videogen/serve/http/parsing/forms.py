"""A form: text fields, and at most one file, which goes on to where it is read while it still arrives."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request

from videogen.serve.errors import UploadError
from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.bodies import BODY_SECONDS
from videogen.serve.http.parsing.fields import shown
from videogen.serve.http.parsing.multipart import parts_of
from videogen.serve.limits import ServerLimits
from videogen.serve.requests import InitialFrames

Kind = Literal["video", "image"]
Take = Callable[[AsyncIterator[bytes], Kind], Awaitable[InitialFrames]]
MOST_FIELDS = 40
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
TELLING = 12  # bytes that tell a picture from a video


@dataclass
class Form:
    """What came with it; of a file the pictures, for its name and its type are a client's word, and not even read."""

    fields: dict[str, str] = field(default_factory=dict)
    file: str | None = None  # the field that it was sent as
    initial_frames: InitialFrames | None = None


async def read_form(request: Request, files: Mapping[str, Kind | None], take: Take, limits: ServerLimits) -> Form:
    """`files` says which fields are files, and of which kind; None: the first bytes tell."""
    form, left = Form(), limits.body_bytes
    most, seconds = limits.upload_bytes + limits.body_bytes, limits.receive_seconds + BODY_SECONDS
    async with aclosing(parts_of(request, most, seconds)) as parts:
        async for name, data in parts:
            refuse_repeats(form, name, name in files)
            if name in files:
                form.file, form.initial_frames = name, await taken(data, files[name], take)
            else:
                form.fields[name] = await text_of(name, data, left)
                left -= len(name) + len(form.fields[name])
    return form


def refuse_repeats(form: Form, name: str, is_file: bool) -> None:
    if is_file and form.file is not None:
        raise Problem(400, f"a second file, {shown(name)}; there may be one", name, "twice")
    if name in form.fields:
        raise Problem(400, f"the field {shown(name)} is there twice", name, "twice")
    if len(form.fields) == MOST_FIELDS:
        raise Problem(400, f"the form has more than {MOST_FIELDS} fields", code="too_many_fields")


async def taken(data: AsyncIterator[bytes], kind: Kind | None, take: Take) -> InitialFrames:
    start = b""
    async for chunk in data:
        start += chunk
        if len(start) >= TELLING:
            break
    if not start:
        raise UploadError("the file is empty")
    return await take(joined(start, data), kind or kind_of(start))


async def joined(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in rest:
        yield chunk


def kind_of(start: bytes) -> Kind:
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return "image" if webp or start.startswith(PICTURES) else "video"


async def text_of(name: str, data: AsyncIterator[bytes], most: int) -> str:
    text = b""
    async for chunk in data:
        text += chunk
        if len(text) > most:
            raise Problem(413, f"the form has more text than is taken, in {shown(name)}", code="body_too_large")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Problem(400, f"the field {shown(name)} is not UTF-8", name, "wrong_value") from None
