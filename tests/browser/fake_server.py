"""A fake server: the HTTP API that the page uses, without a model, with faults that tests switch on."""

import asyncio
import json
import secrets
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import videogen.serve
from tests.browser.fake_video import CODEC, FPS, MIME, SIZE, FakeEncoder, jpeg, mask_sequence, render, whole_mp4

PAGE = Path(videogen.serve.__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'"
GRID, FRAMES_PER_LATENT, STEPS = (8, 8), 4, 8
MAX_PROMPT = 200  # characters; the rest is truncated
FRAME, MASK, MARK, END, STATS, QUEUE = range(6)
SAMPLER = {"order": "halton", "steps": 8, "temperature": 1.0, "guidance_scale": 3.0, "top_k": None, "top_p": None}
EXAMPLES = [
    "a large red ring drifts left slowly over a dark blue background",
    "a medium-sized green disc bounces gently on plain black",
    "a small pink ball goes around in circles over a checkered grey background",
    "a big yellow ring gets bigger in front of a maroon gradient",
]


@dataclass
class FakeBehavior:
    """What the server does; tests change it."""

    token: str | None = None
    refuse: tuple[int, dict[str, Any]] | None = None  # answer of POST /v1/streams: a status and the fields of the error
    retry_after: int | None = None
    sampler: dict[str, Any] = field(default_factory=lambda: dict(SAMPLER))  # the model's defaults
    queue: int = 0  # the position of a stream in the queue; 0: the model works on it
    fail_at: int | None = None  # number of frames after which a stream fails
    cut_at: int | None = None  # number of frames after which the connection is cut, once
    proposal_seconds: float = 0.01
    speed: float | None = None  # of generation, relative to real time; None: not measured yet
    note: str = ""  # on every prompt
    job_progress: int = 100  # per cent of every job
    job_error: str | None = None
    hold_mask: int | None = None  # the step of a later latent frame at which generation halts


@dataclass
class PageStream:
    params: dict[str, Any]
    behavior: FakeBehavior
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "playing"
    position: int | None = None
    records: list[bytes] = field(default_factory=list)
    frames: list[Any] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    deleted: bool = False
    cut: bool = False
    end_sent: bool = False

    @property
    def over(self) -> bool:
        return self.status in ("stopped", "failed")

    @property
    def error(self) -> str | None:
        return "the model process died; it was started again" if self.status == "failed" else None

    def to_json(self) -> dict[str, Any]:
        stats = {"frames": len(self.frames), "frames_per_second": 33.0, "proposals_per_latent_frame": 8.0}
        stats |= {"speed": self.behavior.speed}
        size = {"fps": FPS, "width": SIZE, "height": SIZE, "mime": MIME}
        state = {"id": self.id, "status": self.status, "queue_place": self.position, "error": self.error}
        prompts = {"prompt": self.prompt, "marks": self.marks, "note": self.behavior.note}
        return {**state, **prompts, "seed": self.params.get("seed", 20240), "stats": stats, **size}

    @property
    def prompt(self) -> str:
        return str(self.params.get("prompt", ""))

    def record(self, kind: int, payload: bytes) -> None:
        self.records.append(struct.pack(">BII", kind, len(self.frames), len(payload)) + payload)

    def set_position(self, position: int | None) -> None:
        self.status, self.position = "playing" if position is None else "queued", position
        self.record(QUEUE, json.dumps({"status": self.status, "queue_place": position}).encode())

    def mark(self) -> None:
        frame, truncated = len(self.frames), len(self.prompt) > MAX_PROMPT
        self.marks.append({"frame": frame, "seconds": frame / FPS, "prompt": self.prompt, "truncated": truncated})
        self.record(MARK, json.dumps(self.marks[-1]).encode())


@dataclass
class PageJob:
    params: dict[str, Any]
    behavior: FakeBehavior
    seed: int
    id: str = field(default_factory=lambda: "video_" + secrets.token_hex(16))
    deleted: bool = False

    def to_json(self) -> dict[str, Any]:
        status = "completed" if self.behavior.job_progress == 100 else "in_progress"
        error = None
        if self.behavior.job_error is not None:
            status, error = "failed", {"code": "generation_failed", "message": self.behavior.job_error}
        about = {"prompt": self.params.get("prompt"), "seed": self.seed, "note": self.behavior.note}
        state = {"status": status, "progress": self.behavior.job_progress, "error": error}
        return {"id": self.id, **state, **about, "frames": 16, "fps": FPS}


class FakeServer:
    """The server, and a record of the requests it has received."""

    def __init__(self) -> None:
        self.behavior = FakeBehavior()
        self.streams: list[PageStream] = []
        self.jobs: list[PageJob] = []
        self.requests: list[dict[str, Any]] = []
        self.uploads: list[tuple[str, bytes]] = []
        self._working: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        routes = [
            Route("/", self.index),
            Route("/page/{name}", self.page),
            Route("/login", self.login_state, methods=["GET"]),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/v1/videos", self.create_video, methods=["POST"]),
            Route("/v1/videos/{id}", self.video_job, methods=["GET", "DELETE"]),
            Route("/v1/videos/{id}/content", self.content),
            Route("/v1/models", self.models),
            Route("/v1/limits", self.limits),
            Route("/v1/streams", self.open, methods=["POST"]),
            Route("/v1/streams/{id}", self.stream, methods=["GET", "PATCH", "DELETE"]),
            Route("/v1/streams/{id}/preview", self.preview),
            Route("/v1/streams/{id}/video", self.video),
            Route("/v1/streams/{id}/recent", self.recent),
        ]
        return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.guard)])

    async def guard(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if self.behavior.token and request.url.path.startswith("/v1/") and request.cookies.get("session") != "known":
            return error_response(401, "a token is needed; send Authorization: Bearer, or log in", code="token")
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def index(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    async def page(self, request: Request) -> Response:
        table = {file.name: file for file in PAGE.iterdir() if file.suffix in TYPES}
        file = table[request.path_params["name"]]
        return FileResponse(file, media_type=TYPES[file.suffix])

    async def login(self, request: Request) -> Response:
        if (await request.json()) != {"token": self.behavior.token}:
            return error_response(401, "this is not the token that the server was started with", "token", "token")
        response = Response(status_code=204)
        response.set_cookie("session", "known", httponly=True, samesite="strict")
        return response

    async def login_state(self, request: Request) -> Response:
        known = request.cookies.get("session") == "known"
        return JSONResponse({"needed": self.behavior.token is not None, "logged_in": known})

    async def logout(self, request: Request) -> Response:
        response = Response(status_code=204)
        response.delete_cookie("session")
        return response

    async def create_video(self, request: Request) -> Response:
        params = await self.params_of(request)
        if self.behavior.refuse:
            status, error = self.behavior.refuse
            return error_response(status, retry_after=self.behavior.retry_after, **error)
        self.jobs.append(PageJob(params, self.behavior, seed=params.get("seed", 500 + len(self.jobs))))
        return JSONResponse(self.jobs[-1].to_json())

    def found_job(self, request: Request) -> "PageJob | None":
        return next((job for job in self.jobs if job.id == request.path_params["id"] and not job.deleted), None)

    async def video_job(self, request: Request) -> Response:
        job = self.found_job(request)
        if job is None:
            return error_response(404, "there is no video with this id", code="gone")
        if request.method == "DELETE":
            job.deleted = True
            return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})
        return JSONResponse(job.to_json())

    async def content(self, request: Request) -> Response:
        job = self.found_job(request)
        if job is None:
            return error_response(404, "there is no video with this id", code="gone")
        mp4 = await asyncio.to_thread(whole_mp4, [render(number, job.params["prompt"]) for number in range(16)])
        return Response(mp4, media_type="video/mp4")

    async def models(self, request: Request) -> Response:
        size = {
            "fps": FPS,
            "height": SIZE,
            "width": SIZE,
            "groups": [GRID],
            "text_conditioned": True,
            "orders": ["halton", "confidence", "random", "threshold", "entropy", "raster"],
        }
        return JSONResponse(
            {"data": [{"id": "playroom", **size, "sampler": self.behavior.sampler, "examples": EXAMPLES}]}
        )

    async def limits(self, request: Request) -> Response:
        return JSONResponse({"prompt_chars": 2000, "upload_bytes": 2_000_000, "steps": 64, "recent_seconds": 120})

    async def open(self, request: Request) -> Response:
        params = await self.params_of(request)
        self.requests.append(params)
        if self.behavior.refuse:
            status, error = self.behavior.refuse
            return error_response(status, retry_after=self.behavior.retry_after, **error)
        stream = PageStream(
            params,
            self.behavior,
            status="queued" if self.behavior.queue else "playing",
            position=self.behavior.queue or None,
        )
        self.streams.append(stream)
        work = asyncio.create_task(self.work(stream))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return JSONResponse(stream.to_json(), 201)

    async def params_of(self, request: Request) -> dict[str, Any]:
        if request.headers["content-type"].startswith("application/json"):
            return dict(await request.json())
        form = await request.form()
        params: dict[str, Any] = {}
        for name, value in form.items():
            if isinstance(value, UploadFile):
                self.uploads.append((name, await value.read()))
            else:
                params[name] = value
        await form.close()
        return params

    async def work(self, stream: PageStream) -> None:
        """Wait in the queue, then generate latent frames at the rate at which they play."""
        wanted = float(stream.params.get("seconds", 3600)) * FPS
        await self.wait_for_turn(stream)
        stream.mark()
        while len(stream.frames) < wanted and not stream.over:
            await self.wait_for_turn(stream)
            if stream.status == "paused":
                await asyncio.sleep(0.02)
                continue
            await self.latent_frame(stream)
        stream.status = "stopped" if stream.status != "failed" else "failed"
        stream.record(END, json.dumps({"status": stream.status, "error": stream.error}).encode())
        stream.end_sent = True

    async def wait_for_turn(self, stream: PageStream) -> None:
        while self.behavior.queue and not stream.over:
            if stream.position != self.behavior.queue:
                stream.set_position(self.behavior.queue)
            await asyncio.sleep(0.02)
        if stream.position is not None and not stream.over:
            stream.set_position(None)

    async def latent_frame(self, stream: PageStream) -> None:
        for step, decided in enumerate(mask_sequence(GRID[0] * GRID[1], STEPS)):
            stream.record(MASK, bytes(GRID) + decided)
            await asyncio.sleep(self.behavior.proposal_seconds)
            while self.behavior.hold_mask == step and len(stream.frames) > 8 and not stream.over:
                await asyncio.sleep(0.05)
        if stream.marks[-1]["prompt"] != stream.prompt:
            stream.mark()
        count = FRAMES_PER_LATENT if stream.frames else 1
        for _ in range(count):
            image = render(len(stream.frames), stream.prompt)
            stream.record(FRAME, jpeg(image))
            stream.frames.append(image)
        stream.record(STATS, json.dumps(stream.to_json()["stats"]).encode())
        if self.behavior.fail_at is not None and len(stream.frames) >= self.behavior.fail_at:
            stream.status = "failed"
        if len(stream.frames) > FPS:
            await asyncio.sleep(count / FPS - STEPS * self.behavior.proposal_seconds)

    def found(self, request: Request) -> PageStream | None:
        return next((stream for stream in self.streams if stream.id == request.path_params["id"]), None)

    async def stream(self, request: Request) -> Response:
        stream = self.found(request)
        if stream is None:
            return error_response(404, "there is no such stream", code="gone")
        if request.method == "DELETE":
            stream.deleted, stream.status = True, "stopped"
            return Response(status_code=204)
        if request.method == "PATCH":
            changes = await request.json()
            stream.changes.append(changes)
            stream.params |= {name: value for name, value in changes.items() if name == "prompt"}
            if "paused" in changes and not stream.over:
                stream.status = "paused" if changes["paused"] else "playing"
        return JSONResponse(stream.to_json())

    async def preview(self, request: Request) -> Response:
        stream = self.found(request)
        if stream is None:
            return error_response(404, "there is no such stream", code="gone")
        return StreamingResponse(self.records_of(stream), media_type="application/octet-stream")

    async def records_of(self, stream: PageStream) -> AsyncIterator[bytes]:
        sent = 0
        while sent < len(stream.records) or not stream.end_sent:
            if sent == len(stream.records):
                await asyncio.sleep(0.005)
                continue
            yield stream.records[sent]
            sent += 1
            if self.behavior.cut_at is not None and len(stream.frames) >= self.behavior.cut_at and not stream.cut:
                stream.cut = True
                return

    async def video(self, request: Request) -> Response:
        stream = self.found(request)
        return StreamingResponse(self.mp4_of(stream), media_type="video/mp4") if stream else error_response(404, "gone")

    async def mp4_of(self, stream: PageStream) -> AsyncIterator[bytes]:
        encoder, sent = FakeEncoder(), max(0, len(stream.frames) - 1)
        while not stream.over:
            for image in stream.frames[sent:]:
                with CODEC:
                    piece = encoder.add(image)
                if piece:
                    yield piece
                sent += 1
            await asyncio.sleep(0.02)
        yield encoder.close()

    async def recent(self, request: Request) -> Response:
        stream = self.found(request)
        if stream is None or not stream.frames:
            return error_response(404, "this stream has no frames yet", code="gone")
        count = round(float(request.query_params.get("seconds", 120)) * FPS)
        mp4 = await asyncio.to_thread(whole_mp4, stream.frames[-count:])
        return Response(mp4, media_type="video/mp4")


def error_response(
    status: int, message: str, param: str | None = None, code: str | None = None, retry_after: int | None = None
) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {
        "message": message,
        "type": "busy" if status == 503 else "invalid_request_error",
        "param": param,
        "code": code,
    }
    return JSONResponse({"error": body}, status, headers)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serves an application in a thread; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
