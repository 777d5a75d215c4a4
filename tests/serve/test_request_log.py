"""Request ids, and the log as JSON: a record for each request and each video, and nothing that clients ask for."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import websockets.sync.client

from tests.serve.scenes import finished
from tests.serve.served import Served, served
from videogen.serve.log import current_request_id, log_on_stderr, request_scope
from videogen.serve.requests import GenerationParams

SECRET = "a secret prompt"
MADE = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def there(tmp_path) -> Iterator[Served]:
    with served(tmp_path) as there:
        yield there


def test_sane_request_id_is_taken_over_and_others_are_replaced(there):
    def answered(*given: str) -> str:
        headers = [(b"X-Request-Id", each.encode()) for each in given]
        return there.ask("GET", "/nothing", headers=headers).headers["x-request-id"]

    for sane in ("a", "A.b_c-9", "x" * 64):
        assert answered(sane) == sane
    made = [answered(*given) for given in ((), ("x" * 65,), ("a b",), ("a\tb",), ("\u00fc",), ("",), ("a", "b"))]
    assert all(MADE.fullmatch(each) for each in made)
    assert len(set(made)) == len(made)


def test_every_kind_of_response_has_a_request_id(there):
    assert b"x-request-id: " in there.raw(b"nonsense\r\n\r\n").lower()
    assert there.ask("GET", "/v1/models", headers={"Host": "elsewhere.example.org"}).headers["x-request-id"]
    there.studio.engine.supervises = False
    assert there.ask("GET", "/health").headers["x-request-id"]
    address = there.url.replace("http", "ws") + "/v1/realtime/video"
    with websockets.sync.client.connect(address, additional_headers={"X-Request-Id": "mine"}) as socket:
        assert socket.response is not None
        assert socket.response.headers["x-request-id"] == "mine"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_records_of_requests(there, capsys):
    with log_on_stderr(log_format="json"):
        for _ in range(5):
            there.ask("POST", "/v1/videos", json={"prompt": SECRET}, headers={"X-Request-Id": "r1"})
        there.ask("GET", f"/v1/videos?limit=7&after={SECRET}")
        there.ask("GET", f"/{SECRET}")
        there.ask(SECRET.replace(" ", "").upper(), "/v1/videos")
        there.ask("GET", "/health")
        there.waits_until(lambda: not there.server.server_state.tasks)
    records = lines(capsys)
    assert SECRET.split()[1] not in str(records).lower()
    assert [(one["method"], one["route"], one["status"]) for one in records] == [
        *[("POST", "/v1/videos", 200)] * 5, ("GET", "/v1/videos", 400), ("GET", "", 404), ("OTHER", "/v1/videos", 405),
    ]  # fmt: skip
    first = records[0]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["level"], first["logger"], first["request_id"]) == ("INFO", "videogen.serve.access", "r1")
    assert (first["client"], first["complete"], first["bytes"] > 100) == ("127.0.0.1", True, True)
    assert first["ms"] >= 0


def test_errors_have_the_id_of_their_request(there, capsys, monkeypatch):
    def broken() -> bool:
        raise RuntimeError("no luck")

    monkeypatch.setattr(there.engine, "healthy", broken)
    with log_on_stderr(log_format="json"):
        there.ask("GET", "/readyz", headers={"X-Request-Id": "r2"})
        there.waits_until(lambda: not there.server.server_state.tasks)
    records = lines(capsys)
    assert {one["request_id"] for one in records} == {"r2"}
    (error,) = [one for one in records if one["level"] == "ERROR"]
    assert error["logger"] == "uvicorn.error"
    assert "no luck" in error["exception"]


def test_record_of_a_video_has_the_id_of_its_request(home, capsys):
    async def scene():
        with request_scope("r3"):
            job = await home.engine.submit(GenerationParams(SECRET, frames=1))
        await finished(job)
        await home.engine.delete(job.id)
        return job

    with log_on_stderr(log_format="json"):
        job = home.run(scene())
    assert current_request_id() == ""
    (record,) = lines(capsys)
    assert (record["request_id"], record["video"], record["outcome"]) == ("r3", job.id, "completed")
    assert (record["frames"], SECRET in str(record)) == (1, False)


def test_text_is_as_it_was(there, capsys):
    with log_on_stderr():
        there.ask("GET", "/v1/models")
        there.waits_until(lambda: not there.server.server_state.tasks)
    assert capsys.readouterr().err == ""
