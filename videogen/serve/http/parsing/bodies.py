"""Request bodies, read incrementally within limits of size and time; and strict JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.requests import Request

from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.schema import quote

IDLE_SECONDS = 15.0  # without a byte of the body
BODY_SECONDS = 30.0  # for the whole body, not counting files


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_chunks(request: Request, max_bytes: int, seconds: float) -> AsyncIterator[bytes]:
    """The chunks of a body; ApiError if it is too long, stalls, or takes longer than `seconds`."""
    too_long = ApiError(413, f"the body has more than {max_bytes} bytes", code="body_too_large")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_long
    body, count, left, now = aiter(request.stream()), 0, seconds, asyncio.get_running_loop().time
    while True:
        began = now()
        try:
            async with asyncio.timeout(min(IDLE_SECONDS, left)):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError:
            stalled = f"no byte of the body arrived for {IDLE_SECONDS:g} seconds"
            slow = f"the body did not arrive within {seconds:g} seconds"
            raise ApiError(408, stalled if left > IDLE_SECONDS else slow, code="too_slow") from None
        left -= now() - began
        count += len(chunk)
        if count > max_bytes:
            raise too_long
        yield chunk


async def read_json(request: Request, max_bytes: int) -> Any:
    """The JSON of a body."""
    if content_type(request) != "application/json":
        raise ApiError(415, "the body must be JSON; send Content-Type: application/json", code="content_type")
    return parse_json(b"".join([chunk async for chunk in read_chunks(request, max_bytes, BODY_SECONDS)]))


def parse_json(text: bytes | str) -> Any:
    """JSON without duplicate keys, NaN, infinities, lone surrogates, or input that is slow to parse."""
    try:
        text = text.decode() if isinstance(text, bytes) else text  # json would also accept UTF-16 and UTF-32
        found = json.loads(text, object_pairs_hook=reject_duplicates, parse_constant=reject_constant)
        if not is_encodable(json.dumps(found, ensure_ascii=False)):  # no response could repeat them
            raise invalid_json("the body has half of a surrogate pair, which is not text")
        return found
    except UnicodeDecodeError:
        raise invalid_json("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise invalid_json(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):  # thousands of digits or brackets
        raise invalid_json("the body has a number that is too long, or too many brackets") from None


def reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise invalid_json(f"the key {quote(first_duplicate(name for name, _ in pairs))} is given twice")
    return found


def first_duplicate(names: Iterable[str]) -> str | None:
    """The first name that occurs twice; None if there is none."""
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def reject_constant(name: str) -> float:
    raise invalid_json(f"{name} is not a JSON number")


def invalid_json(message: str) -> ApiError:
    return ApiError(400, message, code="not_json")
