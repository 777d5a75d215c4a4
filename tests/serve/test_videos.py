"""/v1/videos, with OpenAI's client and with plain HTTP."""

import hashlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serve.fake_engine import HEADER, PIECE
from tests.serve.served import Served, problem, served

FILM = HEADER + PIECE * 10


@pytest.fixture
def there(tmp_path) -> Iterator[Served]:
    with served(tmp_path) as there:
        yield there


def made(there: Served, **asked: Any) -> dict[str, Any]:
    answer = there.ask("POST", "/v1/videos", json={"prompt": "a red ring", **asked})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def finished(there: Served, **asked: Any) -> str:
    video = made(there, **asked)
    while video["status"] != "completed":
        video = there.ask("GET", f"/v1/videos/{video['id']}").json()
    return str(video["id"])


@pytest.fixture
def client(there: Served) -> Iterator[Any]:
    openai = pytest.importorskip("openai", reason="the client that servers of videos are made for")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with openai.OpenAI(base_url=f"{there.url}/v1", api_key="none is needed here", max_retries=0) as client:
            yield client


def test_openai_client_creates_a_video(there, client, tmp_path):
    video = client.videos.create_and_poll(
        model="fake",
        prompt="a red ring",
        seconds="2",
        size="24x16",
        poll_interval_ms=1,
        extra_body={"seed": 7, "steps": 4},
    )
    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "2", "24x16")
    assert (video.object, video.model, video.prompt, video.error) == ("video", "fake", "a red ring", None)
    assert video.completed_at >= video.created_at > 1_700_000_000
    params = there.engine.submitted[0]
    assert (params.prompt, params.frames, params.seed, params.sampling) == ("a red ring", 16, 7, {"steps": 4})
    client.videos.download_content(video.id, variant="video").write_to_file(tmp_path / "got.mp4")
    assert (tmp_path / "got.mp4").read_bytes() == FILM
    assert [one.id for one in client.videos.list()] == [video.id]
    assert client.videos.delete(video.id).deleted
    assert list(client.videos.list()) == []


def test_openai_client_sends_an_input_reference(there, client):
    picture = b"\x89PNG\r\n\x1a\n" + bytes(200_000)
    video = client.videos.create(prompt="it moves", input_reference=("../../x.png", picture, "image/png"))
    assert there.engine.uploads == [("image", len(picture), hashlib.sha256(picture).hexdigest())]
    assert there.engine.submitted[0].initial_frames.kind == "image"
    assert client.videos.retrieve(video.id).prompt == "it moves"
    assert client.models.retrieve("fake").id == "fake"
    assert [one.id for one in client.models.list()] == ["fake"]


def test_openai_client_extends_a_video(there, client):
    first = finished(there)
    body = {"video": {"id": first}, "prompt": "and on", "seconds": "4"}  # `extend` accepts only files
    assert client.post("/videos/extensions", body=body, cast_to=type(client.videos.retrieve(first))).seconds == "4"
    assert (there.engine.submitted[-1].prompt, there.engine.submitted[-1].frames) == ("and on", 32)
    assert there.engine.submitted[-1].initial_frames is not None
    client.videos.extend(video=("clip.mp4", FILM), prompt="and on", seconds="4")
    assert there.engine.uploads[-1][:2] == ("video", len(FILM))


def test_openai_client_extends_a_video_by_id(there, client):
    """The client rejects `video={"id": ...}` itself; extra_body sends the id."""
    import openai

    first = finished(there)
    extra = {"video": {"id": first}}
    assert client.videos.extend(video=openai.omit, prompt="and on", seconds="4", extra_body=extra).seconds == "4"
    assert there.engine.submitted[-1].initial_frames is not None
    assert not there.engine.uploads


def test_openai_client_gets_400_for_unsupported_calls(there, client):
    import openai

    first = finished(there)
    for ask in (
        lambda: client.videos.remix(first, prompt="a blue ring"),
        lambda: client.videos.edit(video=("clip.mp4", FILM), prompt="a blue ring"),
        lambda: client.videos.edit(video=openai.omit, prompt="a blue ring", extra_body={"video": {"id": first}}),
        lambda: client.videos.create_character(name="Ada", video=("clip.mp4", FILM)),
    ):
        with pytest.raises(openai.BadRequestError, match="remix") as caught:
            ask()
        assert caught.value.code == "not_supported"


def test_no_date_of_expiry(there):
    """A video is kept until there are too many, or until the server stops."""
    video = made(there)
    assert "expires_at" not in video
    assert "remixed_from_video_id" not in video


def test_openai_client_maps_errors_to_its_exceptions(there, client):
    import openai

    there.engine.slow = True
    video = made(there)
    with pytest.raises(openai.BadRequestError) as bad:
        client.videos.create(prompt="x", extra_body={"steps": 0})
    assert (bad.value.param, bad.value.code, bad.value.type) == ("steps", "wrong_value", "invalid_request_error")
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(f"video_{'0' * 32}")
    with pytest.raises(openai.ConflictError):
        client.videos.download_content(video["id"])
    there.engine.full = True
    with pytest.raises(openai.InternalServerError) as busy:
        client.videos.create(prompt="x")
    assert busy.value.response.headers["retry-after"] == "7"
    assert busy.value.type == "busy"


def test_fields_reach_the_engine(there):
    asked = {"seconds": 1.5, "guidance_scale": 2, "temperature": 0, "top_k": 5, "top_p": 0.5, "order": "random",
             "negative_prompt": "blue", "seed": 2**53 - 1, "steps": 64}  # fmt: skip
    video = made(there, **asked)
    params = there.engine.submitted[0]
    assert {**params.sampling, "negative_prompt": params.negative_prompt, "seed": params.seed, "seconds": 1.5} == asked
    assert (params.frames, video["frames"], video["seconds"], video["seed"]) == (12, 12, "1.5", 2**53 - 1)
    assert made(there)["frames"] == 9


def test_form_equals_json(there):
    form = {"prompt": "a red ring", "seconds": "1.5", "seed": "3", "top_p": "0.5"}
    there.ask("POST", "/v1/videos", files={name: (None, text) for name, text in form.items()})
    made(there, seconds=1.5, seed=3, top_p=0.5)
    first, second = there.engine.submitted
    assert first == second


def test_error_of_the_engine_names_the_param(there):
    error = problem(there.ask("POST", "/v1/videos", json={"prompt": "x", "top_k": 13}), 400)
    assert (error["param"], error["message"]) == ("top_k", "top_k is 13, which brings bad luck")


def test_list_is_paginated(there):
    ids = [made(there)["id"] for _ in range(25)][::-1]
    first = there.ask("GET", "/v1/videos").json()
    assert [one["id"] for one in first["data"]] == ids[:20]
    assert (first["object"], first["first_id"], first["last_id"], first["has_more"]) == ("list", ids[0], ids[19], True)
    rest = there.ask("GET", "/v1/videos", params={"after": ids[19]}).json()
    assert [one["id"] for one in rest["data"]] == ids[20:]
    assert not rest["has_more"]
    oldest = there.ask("GET", "/v1/videos", params={"order": "asc", "limit": 2}).json()
    assert [one["id"] for one in oldest["data"]] == [ids[24], ids[23]]
    assert there.ask("GET", "/v1/videos", params={"after": ids[24]}).json()["data"] == []
    problem(there.ask("GET", "/v1/videos", params={"after": f"video_{'f' * 32}"}), 404)


def test_content_and_ranges(there):
    place = f"/v1/videos/{finished(there)}/content"
    whole = there.ask("GET", place)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, FILM, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    part = there.ask("GET", place, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, FILM[4:8])
    assert part.headers["content-range"] == f"bytes 4-7/{len(FILM)}"
    assert there.ask("GET", place, headers={"Range": "bytes=-5"}).content == FILM[-5:]
    problem(there.ask("GET", place, headers={"Range": f"bytes={len(FILM)}-"}), 416)
    for other in ("bytes=9-4", "bytes=-", "lines=1-2", "bytes=0-1,4-5", "bytes=x-y"):
        assert there.ask("GET", place, headers={"Range": other}).content == FILM
    head = there.ask("HEAD", place)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(FILM)))


def test_unfinished_video_has_no_content(there):
    there.engine.slow = True
    video = made(there)
    assert problem(there.ask("GET", f"/v1/videos/{video['id']}/content"), 409)["code"] == "not_finished"
    job = next(iter(there.engine.all_jobs.values()))
    job.error = "the model process ended; please try again"
    seen = there.ask("GET", f"/v1/videos/{video['id']}").json()
    assert seen["status"] == "failed"
    assert seen["error"] == {"code": "generation_failed", "message": job.error}
    assert job.error in problem(there.ask("GET", f"/v1/videos/{video['id']}/content"), 409)["message"]
    problem(there.ask("POST", "/v1/videos/extensions", json={"video": {"id": video["id"]}}), 409)


def test_deleted_video_is_not_found(there):
    video = finished(there)
    assert there.ask("DELETE", f"/v1/videos/{video}").json() == {
        "id": video,
        "object": "video.deleted",
        "deleted": True,
    }
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        problem(there.ask(method, f"/v1/videos/{video}{path}"), 404)
    problem(there.ask("POST", "/v1/videos/extensions", json={"video": {"id": video}}), 404)


def test_extension_needs_exactly_one_video(there):
    video = finished(there)
    assert problem(there.ask("POST", "/v1/videos/extensions", json={"prompt": "x"}), 400)["param"] == "video"
    both = {"files": {"video": ("a.mp4", FILM)}, "data": {"video[id]": video}}
    assert problem(there.ask("POST", "/v1/videos/extensions", **both), 400)["param"] == "video"
    assert problem(there.ask("POST", "/v1/videos/extensions", files={"prompt": (None, "x")}), 400)["param"] == "video"
    answer = there.ask("POST", "/v1/videos/extensions", json={"video": {"id": video}, "frames": 8})
    assert answer.json()["note"] == "cropped to the shape of 16 x 24"


def test_unusable_uploads_are_refused(there):
    for data, status in ((b"broken" + bytes(100), 400), (b"", 400), (bytes(64 * 2**20 + 1), 413)):
        answer = there.ask("POST", "/v1/videos", data={"prompt": "x"}, files={"input_reference": ("x", data)})
        assert problem(answer, status)["type"] == "invalid_request_error"
    assert there.engine.submitted == []
    there.engine.full = True
    files = {"input_reference": ("x", bytes(10**6))}
    assert "Retry-After" in there.ask("POST", "/v1/videos", data={"prompt": "x"}, files=files).headers
