"""Request bodies: any chunk boundaries, limits, and files that are streamed."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from tests.serve.fake_engine import BEGINNING
from videogen.serve.errors import UploadError
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing import bodies, forms
from videogen.serve.http.parsing.bodies import parse_json, read_chunks, read_json
from videogen.serve.http.parsing.forms import Form, read_form, sniff_kind
from videogen.serve.limits import ServerLimits
from videogen.serve.requests import InitialFrames

BOUNDARY = "5d0e-b2c7"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
FILES: dict[str, Any] = {"clip": "video", "image": "image", "input_reference": None}
LIMITS = replace(ServerLimits(), body_bytes=2000, upload_bytes=4 * 2**20)
DATA = bytes(range(256)) * 8 + b"\r\n--5d0e-b2c\r\n--" + b"\r" * 9


def part(name: str, data: bytes, more: str = "") -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request(pieces: Iterable[bytes], content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Request:
    waiting = iter(pieces)

    async def receive() -> dict[str, Any]:
        piece = next(waiting, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}, receive)


class FakeReceiver:
    """Receives uploads and keeps their bytes."""

    def __init__(self) -> None:
        self.kind, self.data = "", b""

    async def __call__(self, chunks: AsyncIterator[bytes], kind: str) -> InitialFrames:
        self.kind, self.data = kind, b"".join([chunk async for chunk in chunks])
        return BEGINNING


def read(pieces: Iterable[bytes], take: Any = None, **settings: str) -> Form:
    return asyncio.run(read_form(request(pieces, **settings), FILES, take or FakeReceiver(), LIMITS))


def refusal(body: bytes, status: int, **settings: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read([body], **settings)
    assert caught.value.status == status
    return caught.value


BODY = whole(part("prompt", "grün".encode()), part("clip", DATA, '; filename="../../etc/passwd"'), part("seed", b"3"))


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_chunk_boundaries_do_not_matter(cuts):
    edges = [0, *sorted(cuts), len(BODY)]
    receiver = FakeReceiver()
    form = read((BODY[begin:end] for begin, end in pairwise(edges)), receiver)
    assert form == Form({"prompt": "grün", "seed": "3"}, "clip", BEGINNING)
    assert (receiver.kind, receiver.data) == ("video", DATA)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + DATA, "image"),
        (b"\xff\xd8\xff\xe0" + DATA, "image"),
        (b"RIFF1234WEBP" + DATA, "image"),
        (b"BM" + DATA, "image"),
        (b"RIFF1234AVI " + DATA, "video"),
        (b"\0\0\0\x18ftypisom" + DATA, "video"),
        (b"x", "video"),
    ],
)
def test_file_kind_is_recognized_from_first_bytes(start, kind):
    receiver = FakeReceiver()
    read([whole(part("input_reference", start))], receiver)
    assert (receiver.kind, receiver.data) == (kind, start)
    assert sniff_kind(start) == kind


def test_file_is_streamed_and_not_kept_in_memory():
    size = 0

    async def count(chunks: AsyncIterator[bytes], kind: str) -> InitialFrames:
        nonlocal size
        async for chunk in chunks:
            size += len(chunk)
        return BEGINNING

    def pieces() -> Iterable[bytes]:
        yield part("clip", b"")[:-2]
        for _ in range(56):
            yield bytes(65536)
        yield b"\r\n" + whole()

    tracemalloc.start()
    read(pieces(), count)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 56 * 65536
    assert peak < 2**20


def test_content_length_is_checked_first():
    async def never(chunks: AsyncIterator[bytes], kind: str) -> InitialFrames:
        raise AssertionError

    body = request([])
    body.scope["headers"].append((b"content-length", b"99999999999"))
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_form(body, FILES, never, LIMITS))
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


def test_endless_body_is_cut():
    endless = iter(lambda: bytes(65536), None)
    first = [part("clip", b"")[:-2]]
    with pytest.raises(ApiError) as caught:
        read(chain(first, endless))
    assert caught.value.status == 413


def test_text_of_a_form_is_limited():
    assert refusal(whole(part("prompt", b"x" * 2001)), 413).code == "body_too_large"
    assert refusal(whole(part("a", b"x" * 1500), part("b", b"x" * 600)), 413).code == "body_too_large"
    assert refusal(whole(*(part(str(n), b"x") for n in range(41))), 400).code == "too_many_fields"


def test_invalid_form_is_refused():
    assert refusal(whole(part("prompt", b"x"), part("prompt", b"y")), 400).code == "twice"
    assert refusal(whole(part("clip", b"x"), part("image", b"y")), 400).code == "twice"
    assert refusal(whole(part("prompt", b"\xff\xfe")), 400).code == "wrong_value"
    assert refusal(BODY[:-10], 400).code == "not_a_form"
    assert refusal(b"", 400).code == "not_a_form"
    assert refusal(b"no form at all", 400).code == "not_a_form"
    assert refusal(whole(part("", b"x")), 400).code == "not_a_form"
    assert refusal(whole(part("n" * 101, b"x")), 400).code == "not_a_form"
    assert refusal(whole(part("prompt", b"x", "; a=" + "x" * 9000)), 400).code == "not_a_form"
    assert refusal(BODY, 400, content_type="multipart/form-data").code == "not_a_form"
    assert refusal(BODY, 400, content_type=f"multipart/form-data; boundary={'x' * 71}").code == "not_a_form"
    for other in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x"):
        assert refusal(BODY, 415, content_type=other).code == "content_type"


def test_empty_file_is_refused():
    with pytest.raises(UploadError):
        read([whole(part("clip", b""))])


def test_stalled_body_times_out(monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.02)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    headers = [(b"content-type", b"application/json")]
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_json(Request({"type": "http", "method": "POST", "headers": headers}, receive), 100))
    assert (caught.value.status, caught.value.code) == (408, "too_slow")


async def byte_by_byte() -> dict[str, Any]:
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b"\n", "more_body": True}


def test_slow_body_times_out(monkeypatch):
    """A form has additional time for its file."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(forms, "BODY_SECONDS", 0.1)
    for kind, limits in (("application/json", LIMITS), (FORM, replace(LIMITS, receive_seconds=0.1))):
        asked = Request({"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}, byte_by_byte)
        with pytest.raises(ApiError) as caught:
            asyncio.run(read_json(asked, 10**6) if kind != FORM else read_form(asked, FILES, FakeReceiver(), limits))
        assert (caught.value.status, caught.value.code) == (408, "too_slow")


def test_time_of_the_reader_does_not_count(monkeypatch):
    async def slow_reader() -> int:
        found = 0
        async for _ in read_chunks(request([b"x"] * 20), 100, 0.1):
            await asyncio.sleep(0.02)
            found += 1
        return found

    assert asyncio.run(slow_reader()) == 21


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_round_trip(value):
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff{}",
        b'{"a": 1, "a": 2}',
        b"NaN",
        b'{"a": -Infinity}',
        b"[" * 100_000,
        b"9" * 5000,
        b"{} {}",
        b"'x'",
    ],
)
def test_invalid_json_is_refused(text):
    with pytest.raises(ApiError) as caught:
        parse_json(text)
    assert (caught.value.status, caught.value.code) == (400, "not_json")
    assert len(caught.value.message) < 200
