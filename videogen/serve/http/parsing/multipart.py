"""A form's body, part by part while it arrives; nothing of it is kept here."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.bodies import chunks_of, content_type

Event = str | bytes | None  # the name of a part, a piece of its data, its end
BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")
LONGEST_NAME, LONGEST_HEADER = 100, 4096


async def parts_of(
    request: Request, most: int, seconds: float
) -> AsyncGenerator[tuple[str, AsyncIterator[bytes]], None]:
    """Each part's name and data; what is not read of the data before the next part is asked for is skipped."""
    events = events_of(chunks_of(request, most, seconds), boundary_of(request))
    async for event in events:
        if isinstance(event, str):
            yield event, data_of(events)


async def data_of(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    async for event in events:
        if not isinstance(event, bytes):
            return
        yield event


async def events_of(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Event]:
    reader = PartReader()
    parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
    try:
        async for chunk in chunks:
            parser.write(chunk)
            for event in reader.taken():
                yield event
    except FormParserError:
        raise broken_form("it does not follow its boundary") from None
    if not reader.ended:
        raise broken_form("it ends too early")


def boundary_of(request: Request) -> bytes:
    if content_type(request) != "multipart/form-data":
        message = "the body must be JSON or a form; send Content-Type: application/json or multipart/form-data"
        raise Problem(415, message, code="content_type")
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not BOUNDARY.fullmatch(boundary):
        raise broken_form("it names no boundary")
    return boundary


def broken_form(why: str) -> Problem:
    return Problem(400, f"the form is broken: {why}", code="not_a_form")


class PartReader:
    """Collects what the parser calls out, until it is taken."""

    def __init__(self) -> None:
        self.ended = False
        self._events: list[Event] = []
        self._header = [b"", b""]  # name and value of the one that is being read
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

    def taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _begin(self) -> None:
        self._disposition = b""

    def _read_header(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if len(self._header[which]) > LONGEST_HEADER:
            raise broken_form(f"a part has a header of more than {LONGEST_HEADER} bytes")

    def _end_header(self) -> None:
        name, value = self._header
        if name.strip().lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def _name_part(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"")
        if not 0 < len(name) <= LONGEST_NAME:
            raise broken_form(f"a part has no name of at most {LONGEST_NAME} bytes")
        self._events.append(name.decode("utf-8", "replace"))

    def _end(self) -> None:
        self.ended = True
