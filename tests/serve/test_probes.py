"""Hostile requests: each gets one clear JSON error, and nothing else happens."""

import select
import socket
from collections.abc import Iterator

import pytest

from tests.serve.served import Served, problem, raw_problem, served, until_it_hangs_up
from videogen.serve.http import body_drain
from videogen.serve.http.parsing import bodies

STREAM, VIDEO = "0" * 32, f"video_{'0' * 32}"
PATHS = [
    "/../etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/page/../app.py",
    "/page/..%2fapp.py",
    "/page/%2e%2e%2fapp.py",
    "/page/..%5capp.py",
    "/page//etc/passwd",
    "/page/index.html%00.js",
    "/page/index.html/",
    "/page/.",
    "/page/..",
    "/page/%252e%252e%252fapp.py",
    "/page/",
    "/page",
    "/page/INDEX.HTML",
    "/page/C:%5cwindows%5cwin.ini",
    "/page/file:%2f%2f%2fetc%2fpasswd",
    "//etc/passwd",
    "/v1/videos/",
    "/v1/videos/../models/x",
    "/v1/videos/%2e%2e",
    "/v1/videos/..%2f..%2fetc%2fpasswd",
    "/v1/videos/..%2f..%2fetc%2fpasswd/content",
    f"/v1/videos/{VIDEO}/content/../../x",
    f"/v1/videos/{VIDEO}%00",
    f"/v1/videos/{VIDEO}%0a/content",
    f"/v1/videos/{STREAM}",
    f"/v1/videos/{VIDEO.upper()}",
    f"/v1/videos/{VIDEO}",
    f"/v1/videos/{VIDEO}/content",
    "/v1/videos/video_",
    "/v1/videos/' OR 1=1 --",
    "/v1/videos/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "/v1/videos/" + "x" * 8000,
    f"/v1/streams/{STREAM}",
    f"/v1/streams/{STREAM}/video",
    f"/v1/streams/{STREAM}/preview",
    f"/v1/streams/{STREAM}/recent",
    "/v1/streams/..%2fvideos",
    "/v1/streams/%F0%9F%8E%AC/video",
    "/v1/streams/\xff\xfe/video",
    "/v1/models/..%2f..",
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/v2/videos",
    "/healthz/",
    "/metrics/..%2f",
    "/openapi.json.bak",
]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("probed")) as there:
        yield there


def sent(there: Served, line: str, headers: str = "", body: bytes = b"") -> bytes:
    host = "" if "host:" in headers.lower() else f"Host: 127.0.0.1:{there.port}\r\n"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return there.raw(f"{line} HTTP/1.1\r\n{host}{headers}{length}Connection: close\r\n\r\n".encode("latin-1") + body)


@pytest.mark.parametrize("path", PATHS)
def test_paths(there, path):
    answer = sent(there, f"GET {path}")
    error = raw_problem(answer, 400 if b"400 Bad" in answer[:20] else 404)
    assert "passwd" not in error["message"]
    assert "script" not in error["message"]
    assert there.engine.submitted == []


@pytest.mark.parametrize(
    "host",
    ["", "example.org", "127.0.0.1.nip.io", "localhost.example.org", "127.0.0.1@example.org", "2130706433", "0x7f.1",
     "127.1", "[::ffff:127.0.0.1]", "localhost/", "localhost#", "*"],
)  # fmt: skip
def test_hosts(there, host):
    assert raw_problem(sent(there, "GET /v1/models", f"Host: {host}\r\n"), 400)["code"] == "host"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://example.org/v1/models", 404),  # as to a proxy
        ("CONNECT example.org:443", 404),
        ("OPTIONS *", 404),
        ("TRACE /v1/models", 405),
        ("FOO /v1/models", 405),
        ("PUT /v1/videos", 405),
        ("DELETE /v1/videos", 405),
        ("POST /", 405),
        ("GET /v1/videos/extensions", 405),
        ("GET /logout", 405),
        ("GET /v1/realtime/video", 426),
    ],
)
def test_methods(there, line, status):
    answer = sent(there, line)
    raw_problem(answer, status)
    assert (b"\r\nAllow: " in answer or b"\r\nallow: " in answer) == (status == 405)


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 5\r\n\r\n0",
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    ],
)
def test_invalid_http(there, request_):
    assert raw_problem(there.raw(request_ + b"\r\n\r\n"), 400)["type"] == "invalid_request_error"


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
HANDSHAKE = f"{UPGRADE}Sec-WebSocket-Version: 13\r\n{KEY}"


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("POST /", f"{HANDSHAKE}Content-Length: 1\r\n", 405),  # and never sends it
        ("POST /", HANDSHAKE, 405),
        ("GET /v1/realtime/video", f"{HANDSHAKE}Content-Length: 1\r\n", 426),
        ("GET /v1/realtime/video", f"{HANDSHAKE}Transfer-Encoding: chunked\r\n", 426),
        ("GET /v1/realtime/video", UPGRADE, 426),
        ("GET /v1/realtime/video", f"{UPGRADE}Sec-WebSocket-Version: 13\r\n", 426),
        ("GET /v1/realtime/video", f"{UPGRADE}{KEY}Sec-WebSocket-Version: 12\r\n", 426),
        ("GET /v1/realtime/video", f"{HANDSHAKE}{KEY}", 426),
        ("GET /v1/realtime/video", HANDSHAKE.replace("==", ""), 426),
        ("GET /v1/realtime/video", f"{HANDSHAKE}X: {'x' * 10_000}\r\n", 400),
        ("GET /v1/realtime/video", HANDSHAKE + "X: x\r\n" * 200, 400),
        (f"GET /v1/{'x' * 10_000}", HANDSHAKE, 400),
        ("GET /v1/nothing", HANDSHAKE, 404),
    ],
)
def test_invalid_websocket_handshakes(there, monkeypatch, line, headers, status):
    """Answered with a JSON error, and not kept open."""
    monkeypatch.setattr(body_drain, "DRAIN_SECONDS", 0.05)
    answer = there.raw(f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\n{headers}\r\n".encode())
    raw_problem(answer, status)
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer.lower()


def test_endless_headers(there):
    answer = there.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
    assert raw_problem(answer, 431)["code"] == "headers_too_large"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[" * 60_000, 400),
        ("application/json", b'{"prompt": "\\ud800"}', 400),
        ("application/json", b'{"prompt": "x", "video": {"id": "\\udc00"}}', 400),
        ("application/json", b'{"\\ud800": 1}', 400),
        ("application/json", b'{"prompt": ["\\ud83d"]}', 400),
        ("application/json", b'{"prompt": "' + b"x" * 70_000 + b'"}', 413),
        ("application/json; charset=utf-16", '{"prompt": "x"}'.encode("utf-16"), 400),
        ("application/xml", b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>", 415),
        ("application/x-www-form-urlencoded", b"prompt=x", 415),
        ("text/plain", b'{"prompt": "x"}', 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data; name=prompt\r\n\r\nx", 400),
        ("application/json", b'{"prompt": "x", "input_reference": {"image_url": "http://example.org/x.png"}}', 400),
        ("application/json", b'{"prompt": "x", "input_reference": "file:///etc/passwd"}', 400),
        ("application/json", b'{"prompt": "x", "model": "../../other"}', 400),
        ("application/json", b'{"prompt": "x", "frames": 1e9}', 400),
        ("application/json", b'{"prompt": "x", "__proto__": {}}', 400),
    ],
)
def test_bodies(there, content_type, body, status):
    raw_problem(sent(there, "POST /v1/videos", f"Content-Type: {content_type}\r\n", body), status)
    assert there.engine.submitted == []


def test_too_large_body_gets_413_however_it_is_sent(there):
    def much() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(2**16)

    json = {"Content-Type": "application/json"}
    assert problem(there.ask("POST", "/v1/videos", content=much(), headers=json), 413)["code"] == "body_too_large"
    assert problem(there.ask("POST", "/v1/nothing", content=much(), headers=json), 404)
    assert there.ask("GET", "/healthz").status_code == 200


def test_slow_body_gets_408(there, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    lines = f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", there.port), 60) as connection:
        connection.sendall(f"{lines}Content-Length: 4000\r\nConnection: close\r\n\r\n".encode())
        for _ in range(4000):
            if select.select([connection], [], [], 0.02)[0]:
                break
            connection.sendall(b" ")
        error = raw_problem(until_it_hangs_up(connection), 408)
    assert error["code"] == "too_slow"
    assert "0.3 seconds" in error["message"]


def test_expect_continue_is_answered_early(there):
    lines = f"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nContent-Type: application/json\r\n"
    answer = there.raw(f"{lines}Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n".encode())
    assert raw_problem(answer, 413)["code"] == "body_too_large"


def test_unknown_query_is_refused(there):
    for path in (
        "/v1/models?x=1",
        "/v1/videos?limit=0",
        "/v1/videos?limit=5&limit=6",
        "/v1/videos?after=../x",
        "/v1/limits?%00",
    ):
        assert problem(there.ask("GET", path), 400)["code"] in ("unknown_field", "wrong_value", "twice")
