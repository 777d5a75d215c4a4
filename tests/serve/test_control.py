"""Controls over HTTP and WebSocket: checked against what the model takes, applied from the next latent frame on."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from prior.config import ControlConfig
from tests.pipeline.tiny import RING, STAR, write_model
from tests.serve.fake_engine import INFO, FakeEngine
from tests.serve.served import Served, problem, running_loop, served
from tests.serve.test_realtime import connected, heard
from tests.serve.test_validation import LIMITS, MASKED
from tests.serve.test_worker import BEGIN, ScriptedSocket, asked, worked
from videogen.io import read_metadata
from videogen.pipeline import VideoPipeline
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.validation import validate_request
from videogen.serve.errors import InvalidParamError
from videogen.serve.limits import ServerLimits
from videogen.serve.messages import ChangeStream, FrameBatch, StartStream, pack, unpack
from videogen.serve.requests import GenerationParams

ACTIONS, NUMBERS = ControlConfig(discrete=4), ControlConfig(floats=2)
KINDS = {"actions": ACTIONS, "numbers": NUMBERS, "none": None}
RIGHT = [
    *(("actions", value) for value in (0, 3, "none", [0, 3, "none"], 2.0)),
    *(("numbers", value) for value in ([0.5, -1], "none", [[0.5, -1], "none"], [[1, 2]])),
]
WRONG = [
    *(("actions", value) for value in (4, -1, 1.5, True, "left", [], [4], [[0]], {}, [None])),
    *(("numbers", value) for value in (0.5, [], [1], [1, 2, 3], [1, 1e39], [[1, 2], [1]], [1, "none"], ["x", 1])),
]


@pytest.fixture(params=list(KINDS))
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    engine = FakeEngine(tmp_path)
    engine.info = replace(INFO, control=KINDS[request.param])
    with served(tmp_path, engine=engine) as there:
        yield there


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("controlled") / "model", control=ACTIONS)


@pytest.fixture(scope="module")
def pipe(folder: Path) -> VideoPipeline:
    return VideoPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def real(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a model process, whose model takes four actions."""
    with running_loop() as loop:
        starting = Engine.start(folder, ServerLimits(ahead_seconds=3600), threads=1)
        engine = asyncio.run_coroutine_threadsafe(starting, loop).result(120)
        try:
            with served(tmp_path_factory.mktemp("served"), engine=engine, loop=loop) as there:
                yield there
        finally:
            asyncio.run_coroutine_threadsafe(engine.close(), loop).result(60)


def in_stream(pipe: VideoPipeline, *parts: tuple[Any, int]) -> np.ndarray:
    """Frames of a stream, some under each control."""
    stream, frames = pipe.stream(RING, generator=3), []
    for control, count in parts:
        stream.control = control
        frames += list(islice(stream, count))
    return np.stack(frames)


def values(there: Served, cases: list[tuple[str, Any]]) -> list[Any]:
    return [value for kind, value in cases if KINDS[kind] == there.engine.info.control]


def test_the_model_says_what_it_takes(there):
    control = there.engine.info.control
    expected = None if control is None else {"discrete": control.discrete, "floats": control.floats}
    assert there.ask("GET", f"/v1/models/{INFO.name}").json()["control"] == expected
    document = there.ask("GET", "/openapi.json").json()
    for path, method in (("/v1/videos", "post"), ("/v1/streams", "post"), ("/v1/streams/{id}", "patch")):
        body = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
        assert ("control" in body["properties"]) == (control is not None)


@pytest.mark.parametrize("there", ["actions", "numbers"], indirect=True)
def test_right_controls_are_accepted_everywhere(there):
    for value in values(there, RIGHT):
        assert there.ask("POST", "/v1/videos", json={"prompt": "x", "control": value}).json()["control"] == value
        stream = there.ask("POST", "/v1/streams", json={"control": value})
        assert (stream.status_code, stream.json()["control"]) == (201, value)
        changed = there.ask("PATCH", stream.json()["urls"]["self"], json={"control": value}).json()
        assert changed["control"] == value
        assert changed["controls"] == [{"frame": 5, "seconds": 0.625, "control": value}]
        form = {"prompt": "x", "control": value if isinstance(value, str) else json.dumps(value)}
        answer = there.ask("POST", "/v1/streams", data=form, files={"image": ("x", b"\x89PNG\r\n\x1a\n" + b"z" * 99)})
        assert answer.json()["control"] == value
        assert there.engine.submitted[-1].control == value
        validate_request(GenerationParams("x", control=value), there.engine.info, LIMITS, 100)


@pytest.mark.parametrize("there", ["actions", "numbers"], indirect=True)
def test_wrong_controls_are_refused_in_one_line_everywhere(there):
    place = there.ask("POST", "/v1/streams", json={}).json()["urls"]["self"]
    for value in values(there, WRONG):
        for method, path in (("POST", "/v1/videos"), ("POST", "/v1/streams"), ("PATCH", place)):
            body = {"control": value} if method == "PATCH" else {"prompt": "x", "control": value}
            error = problem(there.ask(method, path, json=body), 400)
            assert (error["param"], error["code"]) == ("control", "wrong_value")
            assert error["message"].startswith("control is ")
        if value != [None]:  # Python may say None, JSON says "none"
            with pytest.raises(InvalidParamError, match="control is") as caught:
                validate_request(GenerationParams("x", control=value), there.engine.info, LIMITS, 100)
            assert caught.value.param == "control"
    deep = there.ask("POST", "/v1/streams", data={"control": "[" * 30_000}, files={"image": ("x", b"\x89PNG")})
    assert problem(deep, 400)["param"] == "control"


@pytest.mark.parametrize("there", ["none"], indirect=True)
def test_a_model_without_controls_says_so(there):
    place = there.ask("POST", "/v1/streams", json={}).json()["urls"]["self"]
    for method, path in (("POST", "/v1/videos"), ("POST", "/v1/streams"), ("PATCH", place)):
        body = {"control": 1} if method == "PATCH" else {"prompt": "x", "control": 1}
        error = problem(there.ask(method, path, json=body), 400)
        assert (error["param"], error["message"]) == ("control", "control: this model takes none")
    error = problem(there.ask("POST", "/v1/streams", json={"guidance_drops": "both"}), 400)
    assert error["message"] == "guidance_drops is 'both'; it must be text"
    for params in (GenerationParams("x", control=1), GenerationParams("x", sampling=drops("both"))):
        with pytest.raises(InvalidParamError, match="takes no"):
            validate_request(params, MASKED, LIMITS, 100)
    validate_request(GenerationParams("x", sampling=drops("both")), replace(MASKED, control=ACTIONS), LIMITS, 100)


def drops(what: str) -> dict[str, Any]:
    return {"guidance_drops": what, "guidance_scale": 2.0}


def test_messages_of_a_session(there):
    there.engine.endless = True
    control = there.engine.info.control
    right = {None: None, ACTIONS: 2, NUMBERS: [0.5, 1]}[control]
    start = {} if right is None else {"control": right}
    with connected(there, prompt="a ring", **start) as socket:
        id = heard(socket, "video.start")["request_id"]
        assert there.engine.stream(id).control == right
        if right is not None:
            event = {"event_id": "mine", "event": {"control": right}}
            socket.send(json.dumps({"type": "session.interaction", "interaction": event}))
            assert heard(socket, "session.interaction.queued")["event_id"] == "mine"
            mark = heard(socket, "video.control")
            assert (mark["frame"], mark["seconds"], mark["control"]) == (5, 0.625, right)
            both = {"event": {"control": "none", "prompt": "a disc"}}
            socket.send(json.dumps({"type": "session.interaction", "interaction": both}))
            heard(socket, "session.interaction.queued")
            assert (there.engine.stream(id).control, there.engine.stream(id).prompt) == ("none", "a disc")
        socket.send(json.dumps({"type": "session.interaction", "interaction": {"event": {"control": 9}}}))
        error = heard(socket, "error")["error"]
        assert error["param"] == "interaction.event.control"
        expected = "must be left out: this model takes no control" if right is None else "or none"
        assert error["message"].startswith("interaction.event.control is 9; it must be ")
        assert expected in error["message"]
        socket.send(json.dumps({"type": "session.interaction", "interaction": {"event": {}}}))
        assert heard(socket, "error")["error"]["param"] == "interaction.event"


def test_messages_to_the_model_process_keep_their_controls():
    start = StartStream("a", GenerationParams("x", seed=1, frames=2, control=((0.5, 1.0), None)), None)
    for message in (start, ChangeStream("a", control=((0.5, 1.0), None)), ChangeStream("a", control=(1,))):
        raw = pack(message)
        arrived = unpack(raw[8:], b"")
        params = getattr(arrived, "params", arrived)
        assert params.control == json.loads(json.dumps(getattr(message, "params", message).control))


def test_a_change_applies_from_the_next_latent_frame_on(pipe):
    turns = {1: (3, None)}

    def change(message):
        due = isinstance(message, FrameBatch) and message.first in turns
        return [ChangeStream("a", control=turns[message.first])] if due else []

    script = ScriptedSocket(asked(control=(1, 2)), reaction=change)
    worked(pipe, script)
    assert [message.control for message in script.pictures()] == [1, 2, 3, None]
    np.testing.assert_array_equal(script.frames(pipe), in_stream(pipe, ([1, 2], 5), (3, 4), (None, 4)))
    assert not np.array_equal(script.frames(pipe), in_stream(pipe, ([1, 2], 13)))


def test_a_change_before_the_first_latent_frame_replaces_the_control(pipe):
    script = ScriptedSocket(asked(control=(1, 2)), ChangeStream("a", control=(3,)), ChangeStream("a", STAR))
    worked(pipe, script)
    assert [message.control for message in script.pictures()] == [3] * 4
    script = ScriptedSocket(BEGIN)
    worked(pipe, script)
    assert [message.control for message in script.pictures()] == [None] * 4


def test_a_job_takes_a_list_and_its_file_has_it(real, tmp_path):
    settings = {"prompt": RING, "seed": 3, "frames": 13, "steps": 3, "guidance_scale": 2, "guidance_drops": "both"}
    made = []
    for control in ([1, "none", 3], 0):
        video = real.ask("POST", "/v1/videos", json={**settings, "control": control}).json()
        real.waits_until(
            lambda id=video["id"]: real.ask("GET", f"/v1/videos/{id}").json()["status"] not in ("queued", "in_progress")
        )
        made.append(tmp_path / f"{video['id']}.mp4")
        made[-1].write_bytes(real.ask("GET", f"/v1/videos/{video['id']}/content").content)
    assert [read_metadata(path)["control"] for path in made] == [[1, None, 3], [0]]
    assert read_metadata(made[0])["settings"]["guidance_drops"] == "both"
    assert made[0].read_bytes() != made[1].read_bytes()


def test_a_stream_is_played_over_http(real):
    stream = real.ask("POST", "/v1/streams", json={"prompt": RING, "seed": 3, "frames": 4001, "control": 1}).json()
    assert stream["control"] == [1]
    place = stream["urls"]["self"]
    with real.client.stream("GET", stream["urls"]["video"]) as film:
        pieces = film.iter_raw()  # kept: without a viewer the stream would pause
        next(pieces)
        real.waits_until(lambda: real.ask("GET", place).json()["controls"] != [])  # the header comes before all frames
        assert real.ask("PATCH", place, json={"control": [2, "none"]}).json()["control"] == [2, None]
        real.waits_until(lambda: len(real.ask("GET", place).json()["controls"]) >= 3)
    seen = real.ask("GET", place).json()["controls"]
    assert [one["control"] for one in seen] == [1, 2, None]
    assert seen[0]["frame"] == 0
    assert seen[2]["frame"] == seen[1]["frame"] + 4
    assert problem(real.ask("PATCH", place, json={"control": 4}), 400)["param"] == "control"
    real.ask("DELETE", place)


def test_a_session_is_played_over_a_socket(real):
    with connect(f"ws://127.0.0.1:{real.port}/v1/realtime/video", compression=None, close_timeout=1) as socket:
        socket.send(json.dumps({"type": "session.start", "prompt": RING, "num_frames": 4001, "control": 2}))
        assert heard(socket, "video.start")["config"]["control"] == [2]
        first = heard(socket, "video.control")
        assert (first["frame"], first["control"]) == (0, 2)
        event = {"event": {"control": "none"}}
        socket.send(json.dumps({"type": "session.interaction", "interaction": event}))
        later = heard(socket, "video.control")
        assert later["control"] is None
        assert later["frame"] % 4 == 1
        socket.send('{"type": "session.stop"}')
        assert heard(socket, "session.done")["stopped"]
