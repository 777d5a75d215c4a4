"""/v1/streams: start, change, many viewers, and disconnects that leave nothing behind."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.serve.fake_engine import HEADER, MIME, PIECE
from tests.serve.served import Served, problem, served
from videogen.serve.http import connection_protocol, streaming_response

KINDS = ("frame", "mask", "mark", "end", "stats", "queue")


@pytest.fixture
def there(tmp_path) -> Iterator[Served]:
    with served(tmp_path) as there:
        yield there


def begun(there: Served, **asked: Any) -> dict[str, Any]:
    answer = there.ask("POST", "/v1/streams", json=asked)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def records(data: bytes) -> list[tuple[str, int, bytes]]:
    found = []
    while data:
        kind, number, length = struct.unpack(">BII", data[:9])
        found.append((KINDS[kind], number, data[9 : 9 + length]))
        assert len(found[-1][2]) == length
        data = data[9 + length :]
    return found


def test_json_of_a_stream(there):
    answer = there.ask("POST", "/v1/streams", json={"prompt": "a ring", "seed": 3, "transition": "cut", "seconds": 100})
    stream = answer.json()
    assert answer.headers["location"] == f"/v1/streams/{stream['id']}" == stream["urls"]["self"]
    assert len(stream["id"]) == 32
    assert (stream["object"], stream["status"], stream["queue_place"]) == ("stream", "playing", None)
    assert (stream["fps"], stream["width"], stream["height"], stream["mime"]) == (8, 24, 16, MIME)
    assert (stream["prompt"], stream["seed"], stream["marks"], stream["error"]) == ("a ring", 3, [], None)
    assert stream["stats"]["frames_per_second"] == 33
    assert (there.engine.submitted[0].transition, there.engine.submitted[0].frames) == ("cut", 800)
    assert there.ask("GET", stream["urls"]["self"]).json() == stream


def test_stream_can_start_from_a_clip_or_an_image(there):
    for name, kind in (("clip", "video"), ("image", "image")):
        answer = there.ask(
            "POST", "/v1/streams", data={"prompt": "x"}, files={name: ("x", b"\x89PNG\r\n\x1a\n" + b"z" * 99)}
        )
        assert answer.json()["note"] == "cropped to the shape of 16 x 24"
        assert there.engine.uploads[-1][0] == kind
        assert there.engine.submitted[-1].initial_frames.kind == kind


def test_prompt_can_change(there):
    place = begun(there, prompt="a red ring")["urls"]["self"]
    changed = there.ask("PATCH", place, json={"prompt": "a blue ring", "transition": "cut"}).json()
    assert changed["prompt"] == "a blue ring"
    assert changed["marks"] == [{"frame": 5, "seconds": 0.625, "prompt": "a blue ring", "truncated": False}]
    assert there.ask("PATCH", place, json={"paused": True}).json()["status"] == "paused"
    assert there.ask("PATCH", place, json={"paused": False, "prompt": None}).json()["status"] == "playing"
    assert problem(there.ask("PATCH", place, json={}), 400)["code"] == "missing"
    assert problem(there.ask("PATCH", place, json={"paused": "yes"}), 400)["param"] == "paused"
    assert problem(there.ask("PATCH", place, json={"seed": 1}), 400)["code"] == "unknown_field"
    assert problem(there.ask("PATCH", place, content=b"x"), 415)


def test_stopped_stream_can_be_read_but_not_changed(there):
    stream = begun(there)
    assert there.ask("DELETE", stream["urls"]["self"]).json()["status"] == "stopped"
    assert there.ask("GET", stream["urls"]["self"]).json()["status"] == "stopped"
    assert there.ask("GET", stream["urls"]["recent"]).status_code == 200
    assert problem(there.ask("PATCH", stream["urls"]["self"], json={"prompt": "x"}), 409)["code"] == "ended"


def test_video_is_what_the_engine_generates(there):
    stream = begun(there)
    film = there.ask("GET", stream["urls"]["video"])
    assert film.content == HEADER + PIECE * 4
    assert film.headers["content-type"] == "video/mp4"
    assert film.headers["x-videogen-mime"] == MIME
    assert film.headers["cache-control"] == "no-store"
    assert film.headers["x-accel-buffering"] == "no", "a proxy must not hold pieces back"
    there.waits_until(lambda: there.engine.stream(stream["id"]).viewers == [])


def test_failed_stream_is_an_incomplete_response(there):
    """All frames so far arrive, and then clients report an incomplete response."""
    stream, got = begun(there), b""
    film = there.engine.stream(stream["id"])
    film.status, film.error = "failed", "the model process ended"
    with httpx.stream("GET", there.url + stream["urls"]["video"]) as answer:
        pieces = answer.iter_raw()
        while len(got) < len(HEADER + PIECE * 4):
            got += next(pieces)
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            next(pieces)
    assert got == HEADER + PIECE * 4
    there.waits_until(lambda: film.viewers == [])
    preview = records(there.ask("GET", stream["urls"]["preview"]).content)
    assert preview[-1][0] == "end", "a preview has its own end record"


def test_preview_records(there):
    seen = records(there.ask("GET", begun(there)["urls"]["preview"]).content)
    assert [kind for kind, _, _ in seen] == ["queue", "stats", "mask", "frame", "mark", "end"]
    assert json.loads(seen[0][2]) == {"status": "playing", "queue_place": None}
    assert seen[2] == ("mask", 1, bytes([2, 3, 0, 1, 0, 1, 1, 1]))
    assert seen[3] == ("frame", 1, b"\xff\xd8jpeg\xff\xd9")
    assert json.loads(seen[4][2]) == {"frame": 5, "seconds": 0.625, "prompt": "grün", "truncated": False}
    assert json.loads(seen[5][2]) == {"status": "stopped", "error": None}


def test_head_is_not_a_viewer(there):
    stream = begun(there)
    there.engine.full = True
    for name in ("video", "preview"):
        head = there.ask("HEAD", stream["urls"][name])
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] in ("video/mp4", "application/octet-stream")


def test_too_many_viewers_get_503(there):
    stream = begun(there)
    there.engine.full = True
    for name in ("video", "preview"):
        answer = there.ask("GET", stream["urls"][name])
        assert problem(answer, 503)["type"] == "busy"
        assert answer.headers["retry-after"] == "5"


def test_recent_seconds(there):
    place = begun(there)["urls"]["recent"]
    assert there.ask("GET", place, params={"seconds": 3}).content == HEADER + PIECE * 3
    assert there.ask("GET", place).content == HEADER + PIECE * 9
    assert "attachment" in there.ask("GET", place).headers["content-disposition"]
    for seconds in ("0", "-1", "121", "x", "nan"):
        assert problem(there.ask("GET", place, params={"seconds": seconds}), 400)["param"] == "seconds"


def test_viewer_that_disconnects_is_removed(there):
    there.engine.endless = True
    stream = begun(there)
    with httpx.stream("GET", there.url + stream["urls"]["video"]) as film:
        pieces = film.iter_raw()
        assert next(pieces)
        assert len(there.engine.stream(stream["id"]).viewers) == 1
    there.waits_until(lambda: there.engine.stream(stream["id"]).viewers == [])


def test_idle_viewer_that_disconnects_is_removed(there, monkeypatch):
    there.engine.pieces = []
    monkeypatch.setattr(there.engine, "endless", True)
    stream = begun(there)
    film = there.engine.stream(stream["id"])
    with httpx.stream("GET", there.url + stream["urls"]["video"]) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        film.viewers[0].pause = 600.0
        time.sleep(0.1)
    there.waits_until(lambda: film.viewers == [])


def stalled(there: Served, place: str) -> socket.socket:
    """Sends a request and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", there.port))
    connection.sendall(f"GET {place} HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\n\r\n".encode())
    return connection


def until_the_end(connection: socket.socket) -> bytes:
    connection.settimeout(20)
    data = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(2**20):
            data = (data + piece)[-100:]
    return data


@pytest.mark.parametrize("told", [True, False])
def test_stalled_viewer_is_dropped(there, monkeypatch, told):
    """Dropped by the engine for its lag, or after a timeout."""
    monkeypatch.setattr(streaming_response, "STALL_SECONDS", 600.0 if told else 0.2)
    there.engine.endless, there.engine.pieces = True, [bytes(2**20)]
    stream = begun(there)
    film = there.engine.stream(stream["id"])
    with stalled(there, stream["urls"]["video"]) as connection:
        there.waits_until(lambda: bool(film.viewers))
        viewer = film.viewers[0]
        if told:
            time.sleep(0.2)
            there.loop.call_soon_threadsafe(viewer.lost.set)
        there.waits_until(lambda: film.viewers == [])
        there.waits_until(lambda: not there.server.server_state.tasks)
        there.waits_until(lambda: len(there.server.server_state.connections) <= 1)  # that of the client which asked
        assert not until_the_end(connection).endswith(b"0\r\n\r\n")  # no whole answer, and whoever reads it knows


def test_client_that_never_reads_is_dropped(there, monkeypatch):
    """While uvicorn waits for the client to read, and after it considers the response complete."""
    there.engine.padding = bytes(2**25)
    recent, video = begun(there)["urls"]["recent"], there.ask("POST", "/v1/videos", json={"prompt": "x"}).json()["id"]
    there.waits_until(lambda: there.engine.job(video.removeprefix("video_")).status == "completed")
    there.client.close()
    state = there.server.server_state
    there.waits_until(lambda: not state.connections)
    monkeypatch.setattr(connection_protocol, "HEADER_SECONDS", 0.1)
    for place in (f"/v1/videos/{video}/content", recent):
        there.engine.fetched = 0
        with stalled(there, place) as connection:
            there.waits_until(lambda: there.engine.fetched == 1)
            there.waits_until(lambda: not state.tasks and not state.connections)
            assert until_the_end(connection)


def test_stalled_viewer_does_not_delay_others(there):
    there.engine.endless, there.engine.pieces = True, [bytes(2**20)]
    stream = begun(there)
    with stalled(there, stream["urls"]["video"]), httpx.stream("GET", there.url + stream["urls"]["video"]) as film:
        there.waits_until(lambda: len(there.engine.stream(stream["id"]).viewers) == 2)
        read = 0
        for chunk in film.iter_raw():
            read += len(chunk)
            if read > 20 * 2**20:
                break


def test_unknown_streams(there):
    for path in ("", "/video", "/preview", "/recent"):
        problem(there.ask("GET", f"/v1/streams/{'0' * 32}{path}"), 404)
    problem(there.ask("DELETE", f"/v1/streams/{'0' * 32}"), 404)
    problem(there.ask("PATCH", f"/v1/streams/{'0' * 32}", json={"paused": True}), 404)


def test_full_server_gets_503(there):
    there.engine.full = True
    answer = there.ask("POST", "/v1/streams", json={})
    assert problem(answer, 503)["code"] == "busy"
    assert answer.headers["retry-after"] == "7"
