"""The server with the engine and a tiny model: from a prompt to a video file that players can read."""

import asyncio
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.io.clips import numbered_frame
from tests.serve.served import Served, problem, running_loop, served
from videogen.io import scan, write_video
from videogen.serve.engine.engine import Engine
from videogen.serve.limits import ServerLimits

PROMPT = "a small red ring drifts left over a dark blue background"


@pytest.fixture(scope="module")
def there(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Starts the engine in the event loop of the server's thread."""
    with running_loop() as loop:
        engine = asyncio.run_coroutine_threadsafe(
            Engine.start(tiny_model_folder, ServerLimits(), threads=1), loop
        ).result(120)
        try:
            with served(tmp_path_factory.mktemp("served"), engine=engine, loop=loop) as there:
                yield there
        finally:
            asyncio.run_coroutine_threadsafe(engine.close(), loop).result(60)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(place, np.stack([numbered_frame(number, 32, 48) for number in range(30)]), 25)
    return place.read_bytes()


@pytest.fixture(scope="module")
def picture() -> bytes:
    data = io.BytesIO()
    Image.fromarray(numbered_frame(0, 32, 48)).save(data, "PNG")
    return data.getvalue()


def finished(there: Served, video: dict[str, Any]) -> dict[str, Any]:
    def look() -> bool:
        video.update(there.ask("GET", f"/v1/videos/{video['id']}").json())
        return video["status"] not in ("queued", "in_progress")

    there.waits_until(look)
    assert video["status"] == "completed", video
    return video


def test_video_is_generated_extended_and_deleted(there, tmp_path):
    video = finished(there, there.ask("POST", "/v1/videos", json={"prompt": PROMPT, "seconds": "2", "seed": 3}).json())
    assert (video["progress"], video["frames"], video["error"]) == (100, 16, None)
    (tmp_path / "film.mp4").write_bytes(there.ask("GET", f"/v1/videos/{video['id']}/content").content)
    seen = scan(tmp_path / "film.mp4")
    assert (len(seen.pts), seen.height, seen.width) == (16, 16, 24)
    asked = {"video": {"id": video["id"]}, "prompt": PROMPT, "frames": 8}
    longer = finished(there, there.ask("POST", "/v1/videos/extensions", json=asked).json())
    assert longer["frames"] == 8
    assert there.ask("DELETE", f"/v1/videos/{video['id']}").json()["deleted"]
    problem(there.ask("GET", f"/v1/videos/{video['id']}/content"), 404)


def test_same_seed_gives_the_same_file(there):
    asked = {"prompt": PROMPT, "frames": 9, "seed": 5, "steps": 3, "guidance_scale": 2}
    films = [
        there.ask(
            "GET", f"/v1/videos/{finished(there, there.ask('POST', '/v1/videos', json=asked).json())['id']}/content"
        )
        for _ in range(2)
    ]
    assert films[0].content == films[1].content


def test_stream_is_watched_changed_and_stopped(there, tmp_path):
    stream = there.ask("POST", "/v1/streams", json={"prompt": PROMPT, "seed": 1}).json()
    place, film = stream["urls"]["self"], b""
    with httpx.stream("GET", there.url + stream["urls"]["video"], timeout=30) as answer:
        assert answer.headers["x-videogen-mime"].startswith('video/mp4; codecs="avc1')
        for number, piece in enumerate(answer.iter_raw()):
            film += piece
            if number == 1:
                there.ask("PATCH", place, json={"prompt": "a big yellow star spins over a green background"})
            if number == 6:
                there.ask("DELETE", place)
    (tmp_path / "film.mp4").write_bytes(film)
    assert len(scan(tmp_path / "film.mp4").pts) > 9
    ended = there.ask("GET", place).json()
    assert ended["status"] == "stopped"
    assert [mark["prompt"] for mark in ended["marks"]][-1].startswith("a big yellow star")
    (tmp_path / "recent.mp4").write_bytes(there.ask("GET", stream["urls"]["recent"], params={"seconds": 1}).content)
    assert len(scan(tmp_path / "recent.mp4").pts) >= 8


def test_preview_has_frames_and_masks(there):
    stream = there.ask("POST", "/v1/streams", json={"prompt": PROMPT, "frames": 9}).json()
    kinds, data = set(), b""
    with httpx.stream("GET", there.url + stream["urls"]["preview"], timeout=30) as answer:
        for piece in answer.iter_raw():
            data += piece
            while len(data) >= 9 and len(data) >= 9 + struct.unpack(">BII", data[:9])[2]:
                kind, _, length = struct.unpack(">BII", data[:9])
                body, data = data[9 : 9 + length], data[9 + length :]
                kinds.add(kind)
                if kind == 0:
                    assert Image.open(io.BytesIO(body)).size == (24, 16)
                if kind == 1:
                    assert (body[0], body[1], len(body)) == (2, 3, 8)
    assert {0, 3, 4} <= kinds


@pytest.mark.parametrize("name", ["clip", "image"])
def test_streams_start_from_uploads(there, clip, picture, name):
    files = {name: ("x", clip if name == "clip" else picture)}
    answer = there.ask("POST", "/v1/streams", data={"prompt": PROMPT, "frames": "9"}, files=files)
    assert answer.status_code == 201, answer.text
    with httpx.stream("GET", there.url + answer.json()["urls"]["video"], timeout=30) as film:
        assert sum(map(len, film.iter_raw())) > 500
    there.ask("DELETE", answer.json()["urls"]["self"])


BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0) + bytes(4)
UPLOADS = {
    "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "a session description": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
    "a manifest": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://example.org/</BaseURL></MPD>',
    "an address": b"http://example.org/clip.mp4",
    "a path": b"/etc/passwd",
    "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "an archive": b"PK\x03\x04" + bytes(200),
    "a program": b"\x7fELF" + bytes(500),
    "zeros": bytes(100_000),
    "text": b"hello",
    "a picture too large": BOMB,
    "half a header": b"\0\0\0\x18ftypisom",
}


@pytest.mark.parametrize(("number", "name"), list(enumerate(UPLOADS)))
def test_hostile_uploads(there, number, name):
    field = ("clip", "image")[number % 2] if name != "a picture too large" else "image"
    answer = there.ask("POST", "/v1/streams", data={"prompt": PROMPT}, files={field: ("x.mp4", UPLOADS[name])})
    error = problem(answer, 400)
    assert error["code"] == "upload_refused"
    assert "passwd" not in error["message"]
    assert "/tmp" not in error["message"]


def test_truncated_uploads(there, clip, picture):
    for data, field in (
        (clip[: len(clip) // 2], "clip"),
        (clip[:-20], "clip"),
        (picture[:-30], "image"),
        (picture, "clip"),
        (clip, "image"),
    ):
        problem(there.ask("POST", "/v1/streams", data={"prompt": PROMPT}, files={field: ("x", data)}), 400)


def test_metrics_add_up(there):
    lines = dict(line.rsplit(" ", 1) for line in there.ask("GET", "/metrics").text.splitlines() if line[0] != "#")
    assert float(lines["videogen_up"]) == 1
    assert float(lines["videogen_jobs_opened_total"]) >= 4
    assert float(lines["videogen_frames_total"]) > 30
    assert float(lines["videogen_model_restarts_total"]) == 0
    assert float(lines["videogen_uploads_refused_total"]) >= len(UPLOADS)
