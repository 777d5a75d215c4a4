"""/v1/realtime/video: a stream over one WebSocket."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.serve.fake_engine import HEADER, PIECE
from tests.serve.served import Served, served
from videogen.serve.http import streaming_response
from videogen.serve.http.routes import realtime as over_socket


@pytest.fixture
def there(tmp_path) -> Iterator[Served]:
    with served(tmp_path) as there:
        yield there


@contextmanager
def connected(there: Served, **start: Any) -> Iterator[Any]:
    with connect(f"ws://127.0.0.1:{there.port}/v1/realtime/video", compression=None, close_timeout=1) as socket:
        if start:
            socket.send(json.dumps({"type": "session.start", **start}))
        yield socket


def heard(socket: Any, kind: str) -> dict[str, Any]:
    """The next message of a kind; skips others."""
    while True:
        message = socket.recv(20)
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return dict(found)


def hung_up(socket: Any) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        heard(socket, "nothing")
    return int(caught.value.rcvd.code)


def test_failed_stream_closes_with_an_error(there):
    there.engine.endless = True
    with connected(there, prompt="a ring") as socket:
        heard(socket, "video.chunk_metadata")
        (stream,) = there.engine.all_streams.values()
        stream.status, stream.error = "failed", "the model process ended"
        there.loop.call_soon_threadsafe(stream.viewers[0].ended.set)
        assert heard(socket, "session.done")["error"] == "the model process ended"
        assert hung_up(socket) == 1011


def test_session_from_start_to_end(there):
    with connected(there, prompt="a ring", seed=3, format="m4s", width=24, height=16, fps=8, num_frames=20) as socket:
        start = json.loads(socket.recv(20))
        assert (start["type"], start["format"], start["config"]["prompt"]) == ("video.start", "m4s", "a ring")
        film = b""
        for index in range(4):
            about = json.loads(socket.recv(20))
            piece = socket.recv(20)
            assert (about["type"], about["request_id"]) == ("video.chunk_metadata", start["request_id"])
            assert (about["transport_chunk_index"], about["byte_length"]) == (index, len(piece))
            assert about["kind"] == ("media" if index else "init")
            film += piece
        assert film == HEADER + PIECE * 4
        done = json.loads(socket.recv(20))
        assert (done["type"], done["chunks"], done["stopped"], done["error"]) == ("session.done", 4, False, None)
        assert hung_up(socket) == 1000
    assert there.engine.submitted[0].frames == 20
    there.waits_until(lambda: there.engine.stream(start["request_id"]).status == "stopped")


def test_interaction_is_acknowledged_and_marked(there):
    there.engine.endless = True
    with connected(there, prompt="a red ring") as socket:
        id = heard(socket, "video.start")["request_id"]
        event = {"event_id": "mine", "event": {"prompt": "a blue ring"}, "transition": "cut"}
        socket.send(json.dumps({"type": "session.interaction", "interaction": event}))
        queued = heard(socket, "session.interaction.queued")
        assert (queued["request_id"], queued["event_id"]) == (id, "mine")
        assert (queued["note"], queued["warnings"]) == ("", [])
        mark = heard(socket, "video.mark")
        assert (mark["frame"], mark["prompt"]) == (5, "a blue ring")
        assert (there.engine.stream(id).prompt, there.engine.stream(id).transition) == ("a blue ring", "cut")
        socket.send('{"type": "session.ping"}')
        heard(socket, "session.pong")
        socket.send('{"type": "session.stop"}')
        assert heard(socket, "session.done")["stopped"] is True
        assert hung_up(socket) == 1000
    assert there.engine.stream(id).status == "stopped"


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("{", None, "not_json"),
        ("[]", None, "not_an_object"),
        (b"\x00", None, "not_json"),
        ('{"type": "session.begin"}', "type", "no_session"),
        ('{"type": "session.start", "steps": 0}', "steps", "wrong_value"),
        ('{"type": "session.start", "width": 1280}', "width", "wrong_value"),
        ('{"type": "session.start", "format": "mp4"}', "format", "wrong_value"),
        ('{"type": "session.start", "frames": 8, "num_frames": 8}', "num_frames", "twice"),
        ('{"type": "session.start", "clip": "file:///etc/passwd"}', None, "unknown_field"),
        ('{"type": "session.start", "top_k": 13}', "top_k", "not_possible"),
    ],
)
def test_invalid_first_message_ends_the_session(there, message, param, code):
    with connected(there) as socket:
        socket.send(message)
        error = json.loads(socket.recv(20))
        assert error["type"] == "error"
        assert (error["error"]["param"], error["code"]) == (param, code)
        assert set(error["error"]) == {"message", "type", "param", "code"}
        assert hung_up(socket) == 1008
    assert there.engine.all_streams == {}


def test_full_server_is_reported(there):
    there.engine.full = True
    with connected(there, prompt="x") as socket:
        assert heard(socket, "error")["error"]["type"] == "busy"
        assert hung_up(socket) == 1013


@pytest.mark.parametrize(
    "message",
    ["{", '{"type": "session.start"}', '{"type": "session.interaction", "interaction": {}}', b"\x00",
     '{"type": "session.interaction", "interaction": {"event": {"prompt": 5}}}',
     '{"type": "session.interaction", "interaction": {"event_id": "\\ud800", "event": {"prompt": "x"}}}'],
)  # fmt: skip
def test_error_during_a_session_does_not_end_it(there, message):
    there.engine.endless = True
    with connected(there, prompt="x") as socket:
        heard(socket, "video.start")
        socket.send(message)
        assert heard(socket, "error")["message"]
        heard(socket, "video.chunk_metadata")
        socket.send('{"type": "session.stop"}')
        heard(socket, "session.done")


def test_message_size_is_limited(there):
    there.engine.endless = True
    with connected(there, prompt="x") as socket:
        id = heard(socket, "video.start")["request_id"]
        socket.send(json.dumps({"type": "session.interaction", "x": "y" * 2**17}))
        assert hung_up(socket) == 1009
    there.waits_until(lambda: there.engine.stream(id).status == "stopped")


def test_stream_ends_with_its_connection(there):
    there.engine.endless = True
    with connected(there, prompt="x") as socket:
        id = heard(socket, "video.start")["request_id"]
        socket.socket.close()  # no goodbye
    there.waits_until(lambda: there.engine.stream(id).status == "stopped")
    there.waits_until(lambda: there.engine.stream(id).viewers == [])


def test_stalled_client_is_dropped(there, monkeypatch):
    monkeypatch.setattr(streaming_response, "STALL_SECONDS", 0.2)
    there.engine.endless, there.engine.pieces = True, [bytes(2**20)]
    with connected(there, prompt="x") as socket:
        id = heard(socket, "video.start")["request_id"]
        there.waits_until(lambda: there.engine.stream(id).status == "stopped")
        there.waits_until(lambda: there.engine.stream(id).viewers == [])


def frame(kind: int, payload: bytes) -> bytes:
    """A frame of a client, masked with zeros."""
    return bytes((0x80 | kind, 0x80 | len(payload), 0, 0, 0, 0)) + payload


def test_client_that_does_not_read_the_close_is_dropped(there, monkeypatch):
    """Closing alone would wait for the client to read."""
    monkeypatch.setattr(over_socket, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(streaming_response, "STALL_SECONDS", 600.0)
    there.engine.endless, there.engine.pieces = True, [bytes(2**20)]
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /v1/realtime/video HTTP/1.1\r\nHost: localhost\r\n{upgrade}Sec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
    with create_connection(("127.0.0.1", there.port), 20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        connection.sendall(frame(1, b'{"type": "session.start"}'))
        there.waits_until(lambda: any(stream.viewers for stream in there.engine.all_streams.values()))
        connection.sendall(frame(8, (1000).to_bytes(2)))
        there.waits_until(lambda: not there.server.server_state.connections)
    assert [stream.status for stream in there.engine.all_streams.values()] == ["stopped"]


def test_missing_session_start_times_out(there, monkeypatch):
    monkeypatch.setattr(over_socket, "START_SECONDS", 0.05)
    with connected(there) as socket:
        assert heard(socket, "error")["code"] == "too_slow"
        assert hung_up(socket) == 1008


def test_other_paths_have_no_websocket(there):
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://127.0.0.1:{there.port}/v1/other")
    assert caught.value.response.status_code == 404
    assert b"/v1/realtime/video" in caught.value.response.body
