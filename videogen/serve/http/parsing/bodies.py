"""What comes with a request, read as it arrives and never further than its limit; and JSON, strictly."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.requests import Request

from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.fields import shown

PATIENCE = 15.0  # seconds without a byte of a body that is to come
BODY_SECONDS = 30.0  # until all of one has come, but for the files in it


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def chunks_of(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """A body as it arrives; Problem where it is too long, stops coming, or has been waited for so long in all."""
    too_long = Problem(413, f"the body has more than {most} bytes", code="body_too_large")
    if int(request.headers.get("content-length", 0)) > most:
        raise too_long
    body, count, left, now = aiter(request.stream()), 0, seconds, asyncio.get_running_loop().time
    while True:
        began = now()
        try:
            async with asyncio.timeout(min(PATIENCE, left)):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError:
            stopped = f"no byte of the body came for {PATIENCE:g} seconds"
            slow = f"the body did not come within {seconds:g} seconds"
            raise Problem(408, stopped if left > PATIENCE else slow, code="too_slow") from None
        left -= now() - began
        count += len(chunk)
        if count > most:
            raise too_long
        yield chunk


async def read_json(request: Request, most: int) -> Any:
    """The JSON of a body of at most so many bytes."""
    if content_type(request) != "application/json":
        raise Problem(415, "the body must be JSON; send Content-Type: application/json", code="content_type")
    return parsed(b"".join([chunk async for chunk in chunks_of(request, most, BODY_SECONDS)]))


def parsed(text: bytes | str) -> Any:
    """JSON with no key twice, no number that is none, and nothing that takes long to read."""
    try:
        text = text.decode() if isinstance(text, bytes) else text  # json would also take UTF-16 and UTF-32
        found = json.loads(text, object_pairs_hook=without_repeats, parse_constant=no_number)
        if not encodable(json.dumps(found, ensure_ascii=False)):  # which no answer could repeat, and no model read
            raise not_json("the body has characters that are no text: half of a surrogate pair")
        return found
    except UnicodeDecodeError:
        raise not_json("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise not_json(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        raise not_json("the body is JSON with too long a number, or too many brackets") from None


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise not_json(f"the key {shown(first_repeated(name for name, _ in pairs))} is there twice")
    return found


def first_repeated(names: Iterable[str]) -> str | None:
    """The first that was there before, in one pass; None: each is there once."""
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def no_number(name: str) -> float:
    raise not_json(f"{name} is no number that JSON knows")


def not_json(message: str) -> Problem:
    return Problem(400, message, code="not_json")
