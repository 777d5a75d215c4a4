"""The page, health, limits, models and metrics; and the shutdown of the server."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.serve.fake_engine import HEADER, INFO, PIECE, FakeEngine
from tests.serve.served import Served, problem, raw_problem, served, until_it_hangs_up
from videogen.errors import ResourceError, UsageError
from videogen.serve.http import body_drain, connection_protocol, server
from videogen.serve.http.access.security import access_policy
from videogen.serve.http.page_files import FOLDER, read_page
from videogen.serve.http.parsing.bodies import first_duplicate
from videogen.serve.http.root_path import normalize_root_path
from videogen.serve.http.routes.metrics import to_prometheus
from videogen.serve.http.server import bind, url_of

TOKEN = "correct horse battery staple"


@pytest.fixture
def there(tmp_path) -> Iterator[Served]:
    with served(tmp_path) as there:
        yield there


def test_health(there):
    assert there.ask("GET", "/healthz").json() == {"status": "ok"}
    assert there.ask("GET", "/readyz").json() == {"status": "ready"}
    there.engine.alive = False  # its process has died: that mends itself, and the server must not be killed for it
    assert there.ask("GET", "/healthz").status_code == 200
    sick = there.ask("GET", "/readyz")
    assert problem(sick, 503)["code"] == "no_model"
    assert int(sick.headers["retry-after"]) > 0
    there.engine.supervises = False
    assert problem(there.ask("GET", "/healthz"), 503)["code"] == "broken"


def test_server_is_not_ready_during_shutdown(there):
    there.loop.call_soon_threadsafe(there.studio.closing.set)
    there.waits_until(there.studio.closing.is_set)
    assert problem(there.ask("GET", "/readyz"), 503)["code"] == "closing"
    assert there.ask("GET", "/healthz").status_code == 200


def test_limits(there):
    assert there.ask("GET", "/v1/limits").json() == json.loads(json.dumps(asdict(there.engine.limits)))


def test_models(there):
    models = there.ask("GET", "/v1/models").json()
    assert models["object"] == "list"
    (model,) = models["data"]
    assert model == there.ask("GET", "/v1/models/fake").json()
    assert (model["id"], model["object"], model["size"], model["fps"]) == ("fake", "model", "24x16", 8)
    assert model["sampler"] == INFO.sampler
    assert model["examples"] == list(INFO.examples)
    assert model["orders"] == ["halton", "confidence", "random", "threshold", "entropy", "raster"]
    assert problem(there.ask("GET", "/v1/models/other"), 404)["code"] == "unknown_model"


def test_autoregressive_prior_has_other_orders(tmp_path):
    engine = FakeEngine(tmp_path)
    engine.info = replace(INFO, objective="autoregressive")
    with served(tmp_path, engine=engine) as there:
        assert there.ask("GET", "/v1/models/fake").json()["orders"] == ["autoregressive", "raster"]
        assert problem(there.ask("POST", "/v1/streams", json={"order": "halton"}), 400)["param"] == "order"


def test_metrics_are_text_for_prometheus(there):
    there.ask("POST", "/v1/streams", json={})
    answer = there.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert "videogen_up 1" in lines
    assert "# TYPE videogen_streams_opened_total counter" in lines
    assert "videogen_streams_opened_total 1" in lines
    assert "# TYPE videogen_viewers gauge" in lines
    assert "videogen_prior_seconds_total 0.25" in lines
    assert lines[-8:] == [
        "# HELP videogen_replica_up Whether a model process is ready.",
        "# TYPE videogen_replica_up gauge",
        'videogen_replica_up{replica="0"} 1',
        'videogen_replica_up{replica="1"} 0',
        "# HELP videogen_replica_frames_total Frames that a replica has made.",
        "# TYPE videogen_replica_frames_total counter",
        'videogen_replica_frames_total{replica="0"} 5',
        'videogen_replica_frames_total{replica="1"} 7',
    ]


def test_every_metric_has_help_type_and_value():
    lines = to_prometheus({"up": 1, "frames": 10**9, "prior_seconds": 0.1}).splitlines()
    for about, kind, sample in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name, number = sample.split()
        assert about.startswith(f"# HELP {name} ")
        assert kind in (f"# TYPE {name} counter", f"# TYPE {name} gauge")
        assert (kind.endswith("counter")) == name.endswith("_total")
        float(number)


def test_page_is_a_fixed_table_of_files(there):
    pages = read_page()
    assert "index.html" in pages
    for name, page in pages.items():
        answer = there.ask("GET", f"/page/{name}")
        assert answer.content == (FOLDER / name).read_bytes()
        assert answer.headers["content-type"] == page.media_type
        assert there.ask("GET", f"/page/{name}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert there.ask("GET", "/").content == (FOLDER / "index.html").read_bytes()


def test_page_has_only_files_of_known_types(tmp_path):
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "secret.pem").write_text("2")
    (tmp_path / "folder.js").mkdir()
    assert set(read_page(tmp_path)) == {"a.js"}
    assert read_page(tmp_path / "nothing") == {}


def test_page_has_no_inline_scripts_or_styles(there):
    for script in FOLDER.glob("*.html"):
        text = script.read_text()
        assert "style=" not in text
        assert " on" + "click=" not in text
        assert "<style" not in text
        assert all("src=" in tag for tag in text.split("<script")[1:])


def test_shutdown_ends_streams_properly(tmp_path):
    with served(tmp_path) as there:
        there.engine.endless = True
        stream = there.ask("POST", "/v1/streams", json={}).json()
        with httpx.stream("GET", there.url + stream["urls"]["video"]) as film:
            pieces = film.iter_raw()
            data = next(pieces)
            there.server.should_exit = True
            data += b"".join(pieces)  # raises if the answer is cut off
        assert data.startswith(HEADER)
        assert data.endswith(PIECE)
    # Not before the server has ended: a viewer is let go after the last of the film has been read.
    assert there.engine.stream(stream["id"]).viewers == []


def test_shutdown_closes_websockets(tmp_path):
    with served(tmp_path) as there:
        there.engine.endless = True
        with connect(f"ws://127.0.0.1:{there.port}/v1/realtime/video") as socket:
            socket.send('{"type": "session.start"}')
            socket.recv(20)
            there.server.should_exit = True
            list(socket)
            with pytest.raises(ConnectionClosed) as caught:
                socket.recv(20)
        assert caught.value.rcvd.code in (1001, 1012)


def test_upload_does_not_delay_shutdown(tmp_path, monkeypatch):
    with served(tmp_path) as there:
        monkeypatch.setattr(server, "GRACE_SECONDS", 0.2)
        with socket.create_connection(("127.0.0.1", there.port), 20) as connection:
            lines = f"POST /v1/streams HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{lines}Content-Length: 10\r\n\r\n{{".encode())
            there.waits_until(lambda: bool(there.server.server_state.tasks))
            there.server.should_exit = True
            with suppress(ConnectionResetError):
                assert connection.recv(4096) == b""
        there.waits_until(lambda: not there.server.server_state.tasks)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"])
def test_connection_without_request_is_closed(tmp_path, monkeypatch, sent):
    monkeypatch.setattr(connection_protocol, "HEADER_SECONDS", 0.1)
    with served(tmp_path) as there, socket.create_connection(("127.0.0.1", there.port), 20) as connection:
        connection.sendall(sent)
        data = b""
        while piece := connection.recv(4096):
            data += piece
        assert data.count(b"200 OK") == sent.count(b"\r\n\r\n")


def test_unread_body_is_drained_for_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(body_drain, "DRAIN_SECONDS", 0.2)
    with served(tmp_path) as there, socket.create_connection(("127.0.0.1", there.port), 20) as connection:
        head = f"POST /v1/nothing HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"1\r\nx\r\n")  # and no more
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nconnection: close\r\n" in answer


def test_connection_stays_open_after_a_complete_body(there):
    for _ in range(2):
        assert "connection" not in there.ask("POST", "/v1/nothing", content=b"x" * 10**6).headers


def test_many_requests_leak_nothing(there):
    before = threading.active_count()
    for _ in range(20):
        stream = there.ask("POST", "/v1/streams", json={}).json()
        there.ask("GET", stream["urls"]["video"])
        there.ask("GET", stream["urls"]["preview"])
        there.ask("POST", "/v1/videos", data={"prompt": "x"}, files={"input_reference": ("x", b"broken")})
    there.client.close()
    state = there.server.server_state
    there.waits_until(lambda: not state.tasks and not state.connections)
    time.sleep(0.05)
    assert there.call(tasks_of_this_loop()) <= 4  # the server's own, and the one that counts
    assert threading.active_count() <= before


async def tasks_of_this_loop() -> int:
    import asyncio

    return len(asyncio.all_tasks())


def test_port_in_use_is_reported():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(ResourceError, match="--port"):
            bind("127.0.0.1", taken.getsockname()[1])
        assert url_of(taken) == f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ResourceError):
        bind("no.such.host.invalid", 0)


class CountingName(str):
    """Counts comparisons."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        CountingName.times += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_duplicates_are_found_in_one_pass():
    names = [CountingName(number) for number in range(2000)]
    assert first_duplicate(names) is None
    assert CountingName.times < 100
    assert first_duplicate([*names, names[7], names[3]]) == "7"
    assert CountingName.times < 200


@pytest.mark.parametrize("where", ["header", "headers", "address"])
@pytest.mark.parametrize("pieces", [1, 40])
def test_headers_are_limited_however_they_arrive(there, where, pieces):
    long = {
        "header": b"X-A: " + b"a" * 120_000,
        "headers": b"\r\n".join(b"X-%d: a" % number for number in range(5000)),
        "address": b"X-A: a",
    }[where]
    query = b"?" + b"&".join(b"%d" % number for number in range(25_000)) if where == "address" else b""
    request = b"GET /v1/limits" + query + b" HTTP/1.1\r\nHost: localhost\r\n" + long + b"\r\n\r\n"
    size = len(request) // pieces + 1
    with socket.create_connection(("127.0.0.1", there.port), 20) as connection:
        with suppress(ConnectionError):
            for begin in range(0, len(request), size):
                connection.sendall(request[begin : begin + size])
                time.sleep(0.001)
        answer = until_it_hangs_up(connection)
    if answer or pieces == 1:  # who still sends when it is hung up on may not hear why
        assert raw_problem(answer, 431)["code"] == "headers_too_large"
    assert there.ask("GET", "/healthz").status_code == 200


@pytest.mark.parametrize("left_on", [True, False])
def test_path_prefix_behind_a_proxy(tmp_path, left_on):
    with served(tmp_path, access_policy("127.0.0.1", (), TOKEN), root="/studio") as there:
        path = "/studio" if left_on else ""
        assert there.ask("GET", f"{path}/").content == (FOLDER / "index.html").read_bytes()
        assert there.ask("GET", f"{path}/page/api.js").status_code == 200
        assert there.ask("GET", f"{path}/v1/models").status_code == 401
        entered = there.ask("POST", f"{path}/login", json={"token": TOKEN})
        assert "Path=/studio/" in entered.headers["set-cookie"]
        with_token = {"Authorization": f"Bearer {TOKEN}"}
        begun = there.ask("POST", f"{path}/v1/streams", json={}, headers=with_token)
        stream = begun.json()
        assert begun.headers["location"] == stream["urls"]["self"] == f"/studio/v1/streams/{stream['id']}"
        document = there.ask("GET", f"{path}/openapi.json", headers=with_token).json()
        assert document["servers"] == [{"url": "/studio"}]
        address = f"ws://127.0.0.1:{there.port}{path}/v1/realtime/video"
        with connect(address, additional_headers=with_token) as socket:
            socket.send('{"type": "session.start"}')
            assert "/studio/v1/streams/" in str(socket.recv(20))


def test_path_prefix_redirects_to_a_trailing_slash(tmp_path):
    with served(tmp_path, root="/a/b") as there:
        found = there.ask("GET", "/a/b")
        assert (found.status_code, found.headers["location"]) == (308, "/a/b/")
        assert problem(there.ask("GET", "/a/bc/v1/models"), 404)


@pytest.mark.parametrize(("given", "root"), [("", ""), ("/", ""), ("/studio", "/studio"), ("/a/b/", "/a/b")])
def test_root_path_has_no_trailing_slash(given, root):
    assert normalize_root_path(given) == root


@pytest.mark.parametrize("path", ["studio", "//evil.example.org", "/a/../b", "/a b", "/ü", "http://x/studio", "/a;b"])
def test_invalid_root_path_is_refused(path):
    with pytest.raises(UsageError, match="--root-path"):
        normalize_root_path(path)
