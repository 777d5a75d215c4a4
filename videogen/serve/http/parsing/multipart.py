"""The parts of a multipart form, parsed while the body arrives; keeps nothing in memory."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.bodies import content_type, read_chunks

Event = str | bytes | None  # the name of a part, a chunk of its data, or its end
BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")
MAX_NAME_BYTES, MAX_HEADER_BYTES = 100, 4096


async def iter_parts(
    request: Request, max_bytes: int, seconds: float
) -> AsyncGenerator[tuple[str, AsyncIterator[bytes]], None]:
    """The name and data of each part; data that the caller does not read is skipped."""
    events = parse_events(read_chunks(request, max_bytes, seconds), read_boundary(request))
    async for event in events:
        if isinstance(event, str):
            yield event, part_data(events)


async def part_data(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    async for event in events:
        if not isinstance(event, bytes):
            return
        yield event


async def parse_events(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Event]:
    reader = MultipartReader()
    parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
    try:
        async for chunk in chunks:
            parser.write(chunk)
            for event in reader.take_events():
                yield event
    except FormParserError:
        raise invalid_form("it does not follow its boundary") from None
    if not reader.ended:
        raise invalid_form("it ends too early")


def read_boundary(request: Request) -> bytes:
    if content_type(request) != "multipart/form-data":
        message = "the body must be JSON or a form; send Content-Type: application/json or multipart/form-data"
        raise ApiError(415, message, code="content_type")
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not BOUNDARY.fullmatch(boundary):
        raise invalid_form("it has no valid boundary")
    return boundary


def invalid_form(why: str) -> ApiError:
    return ApiError(400, f"the form is invalid: {why}", code="not_a_form")


class MultipartReader:
    """Collects the events of the parser, until they are taken."""

    def __init__(self) -> None:
        self.ended = False
        self._events: list[Event] = []
        self._header = [b"", b""]  # name and value of the current header
        self._disposition = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._read_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._read_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._name_part,
            "on_part_data": lambda data, start, end: self._events.append(bytes(data[start:end])),
            "on_part_end": lambda: self._events.append(None),
            "on_end": self._end,
        }

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _begin(self) -> None:
        self._disposition = b""

    def _read_header(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if len(self._header[which]) > MAX_HEADER_BYTES:
            raise invalid_form(f"a part has a header of more than {MAX_HEADER_BYTES} bytes")

    def _end_header(self) -> None:
        name, value = self._header
        if name.strip().lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def _name_part(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"")
        if not 0 < len(name) <= MAX_NAME_BYTES:
            raise invalid_form(f"a part has no name, or one of more than {MAX_NAME_BYTES} bytes")
        self._events.append(name.decode("utf-8", "replace"))

    def _end(self) -> None:
        self.ended = True
