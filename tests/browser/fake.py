"""A stand-in for the server: its HTTP interface as the page uses it, without a model, and as unkind as a test wants."""

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
from tests.browser.films import CODEC, FPS, MIME, SIZE, Film, filling, jpeg, picture, whole_film

PAGE = Path(videogen.serve.__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'"
GRID, F_T, STEPS = (8, 8), 4, 8
LONGEST = 200  # characters of a prompt that the model reads
PICTURE, MASK, MARK, END, FIGURES, TURN = range(6)
SAMPLER = {"order": "halton", "steps": 8, "temperature": 1.0, "guidance_scale": 3.0, "top_k": None, "top_p": None}
EXAMPLES = [
    "a large red ring drifts left slowly over a dark blue background",
    "a medium-sized green disc bounces gently on plain black",
    "a small pink ball goes around in circles over a checkered grey background",
    "a big yellow ring gets bigger in front of a maroon gradient",
]


@dataclass
class Moods:
    """What this server does; the tests turn it."""

    token: str | None = None
    refuse: tuple[int, dict[str, Any]] | None = None  # of POST /v1/streams: a status and the fields of the error
    retry_after: int | None = None
    sampler: dict[str, Any] = field(default_factory=lambda: dict(SAMPLER))  # the model's own settings
    queue: int = 0  # the place of a stream in the queue; at 0 it has the turns
    fail_at: int | None = None  # the picture at which a stream fails
    cut_at: int | None = None  # the picture at which the line is cut, once
    proposal_seconds: float = 0.01
    speed: float | None = None  # of making, as a share of real time; None: not measured yet
    note: str = ""  # on every prompt
    job_progress: int = 100  # per cent of every job
    job_error: str | None = None
    hold_mask: int | None = None  # the proposal of the second latent frame at which everything stands still


@dataclass
class Stream:
    wish: dict[str, Any]
    moods: Moods
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "playing"
    place: int | None = None
    records: list[bytes] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    deleted: bool = False
    cut: bool = False
    told_end: bool = False

    @property
    def over(self) -> bool:
        return self.status in ("stopped", "failed")

    @property
    def error(self) -> str | None:
        return "the model process died; it was started again" if self.status == "failed" else None

    def facts(self) -> dict[str, Any]:
        made = {"pictures": len(self.images), "frames_per_second": 33.0, "proposals_per_latent_frame": 8.0}
        made |= {"speed": self.moods.speed}
        size = {"fps": FPS, "width": SIZE, "height": SIZE, "mime": MIME}
        told = {"prompt": self.prompt, "error": self.error, "seed": self.wish.get("seed", 20240), "marks": self.marks}
        told |= {"note": self.moods.note}
        return {"id": self.id, "status": self.status, "queue_place": self.place, "figures": made, **size, **told}

    @property
    def prompt(self) -> str:
        return str(self.wish.get("prompt", ""))

    def record(self, kind: int, payload: bytes) -> None:
        self.records.append(struct.pack(">BII", kind, len(self.images), len(payload)) + payload)

    def turn(self, place: int | None) -> None:
        self.status, self.place = "playing" if place is None else "queued", place
        self.record(TURN, json.dumps({"status": self.status, "queue_place": place}).encode())

    def mark(self) -> None:
        place, cut_short = len(self.images), len(self.prompt) > LONGEST
        self.marks.append({"picture": place, "seconds": place / FPS, "prompt": self.prompt, "cut_short": cut_short})
        self.record(MARK, json.dumps(self.marks[-1]).encode())


@dataclass
class Job:
    wish: dict[str, Any]
    moods: Moods
    seed: int
    id: str = field(default_factory=lambda: "video_" + secrets.token_hex(16))
    deleted: bool = False

    def facts(self) -> dict[str, Any]:
        status = "completed" if self.moods.job_progress == 100 else "in_progress"
        error = None
        if self.moods.job_error is not None:
            status, error = "failed", {"code": "generation_failed", "message": self.moods.job_error}
        told = {"prompt": self.wish.get("prompt"), "seed": self.seed, "note": self.moods.note, "frames": 16, "fps": FPS}
        return {"id": self.id, "status": status, "progress": self.moods.job_progress, "error": error, **told}


class Fake:
    """The server and everything it has been asked."""

    def __init__(self) -> None:
        self.moods = Moods()
        self.streams: list[Stream] = []
        self.jobs: list[Job] = []
        self.wishes: list[dict[str, Any]] = []
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
            Route("/v1/videos/{id}", self.one_video, methods=["GET", "DELETE"]),
            Route("/v1/videos/{id}/content", self.content),
            Route("/v1/models", self.models),
            Route("/v1/limits", self.limits),
            Route("/v1/streams", self.open, methods=["POST"]),
            Route("/v1/streams/{id}", self.one, methods=["GET", "PATCH", "DELETE"]),
            Route("/v1/streams/{id}/preview", self.preview),
            Route("/v1/streams/{id}/video", self.video),
            Route("/v1/streams/{id}/recent", self.recent),
        ]
        return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.guard)])

    async def guard(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if self.moods.token and request.url.path.startswith("/v1/") and request.cookies.get("session") != "known":
            return problem(401, "a token is needed; send Authorization: Bearer, or log in", code="token")
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
        if (await request.json()) != {"token": self.moods.token}:
            return problem(401, "this is not the token that the server was started with", "token", "token")
        response = Response(status_code=204)
        response.set_cookie("session", "known", httponly=True, samesite="strict")
        return response

    async def login_state(self, request: Request) -> Response:
        known = request.cookies.get("session") == "known"
        return JSONResponse({"needed": self.moods.token is not None, "logged_in": known})

    async def logout(self, request: Request) -> Response:
        response = Response(status_code=204)
        response.delete_cookie("session")
        return response

    async def create_video(self, request: Request) -> Response:
        wish = await self.wish_of(request)
        if self.moods.refuse:
            status, error = self.moods.refuse
            return problem(status, retry_after=self.moods.retry_after, **error)
        self.jobs.append(Job(wish, self.moods, seed=wish.get("seed", 500 + len(self.jobs))))
        return JSONResponse(self.jobs[-1].facts())

    def found_job(self, request: Request) -> "Job | None":
        return next((job for job in self.jobs if job.id == request.path_params["id"] and not job.deleted), None)

    async def one_video(self, request: Request) -> Response:
        job = self.found_job(request)
        if job is None:
            return problem(404, "there is no video of that id, or none any more", code="gone")
        if request.method == "DELETE":
            job.deleted = True
            return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})
        return JSONResponse(job.facts())

    async def content(self, request: Request) -> Response:
        job = self.found_job(request)
        if job is None:
            return problem(404, "there is no video of that id, or none any more", code="gone")
        film = await asyncio.to_thread(whole_film, [picture(number, job.wish["prompt"]) for number in range(16)])
        return Response(film, media_type="video/mp4")

    async def models(self, request: Request) -> Response:
        size = {
            "fps": FPS,
            "height": SIZE,
            "width": SIZE,
            "groups": [GRID],
            "told": True,
            "orders": ["halton", "confidence", "random", "threshold", "raster"],
        }
        return JSONResponse({"data": [{"id": "playroom", **size, "sampler": self.moods.sampler, "examples": EXAMPLES}]})

    async def limits(self, request: Request) -> Response:
        return JSONResponse({"prompt_chars": 2000, "upload_bytes": 2_000_000, "steps": 64, "recent_seconds": 120})

    async def open(self, request: Request) -> Response:
        wish = await self.wish_of(request)
        self.wishes.append(wish)
        if self.moods.refuse:
            status, error = self.moods.refuse
            return problem(status, retry_after=self.moods.retry_after, **error)
        stream = Stream(
            wish, self.moods, status="queued" if self.moods.queue else "playing", place=self.moods.queue or None
        )
        self.streams.append(stream)
        work = asyncio.create_task(self.work(stream))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return JSONResponse(stream.facts(), 201)

    async def wish_of(self, request: Request) -> dict[str, Any]:
        if request.headers["content-type"].startswith("application/json"):
            return dict(await request.json())
        form = await request.form()
        wish: dict[str, Any] = {}
        for name, value in form.items():
            if isinstance(value, UploadFile):
                self.uploads.append((name, await value.read()))
            else:
                wish[name] = value
        await form.close()
        return wish

    async def work(self, stream: Stream) -> None:
        """Wait in the queue, then make latent frame after latent frame, at the pace at which they are shown."""
        wanted = float(stream.wish.get("seconds", 3600)) * FPS
        await self.turn_of(stream)
        stream.mark()
        while len(stream.images) < wanted and not stream.over:
            await self.turn_of(stream)
            if stream.status == "paused":
                await asyncio.sleep(0.02)
                continue
            await self.latent_frame(stream)
        stream.status = "stopped" if stream.status != "failed" else "failed"
        stream.record(END, json.dumps({"status": stream.status, "error": stream.error}).encode())
        stream.told_end = True

    async def turn_of(self, stream: Stream) -> None:
        while self.moods.queue and not stream.over:
            if stream.place != self.moods.queue:
                stream.turn(self.moods.queue)
            await asyncio.sleep(0.02)
        if stream.place is not None and not stream.over:
            stream.turn(None)

    async def latent_frame(self, stream: Stream) -> None:
        for step, decided in enumerate(filling(GRID[0] * GRID[1], STEPS)):
            stream.record(MASK, bytes(GRID) + decided)
            await asyncio.sleep(self.moods.proposal_seconds)
            while self.moods.hold_mask == step and len(stream.images) > 8 and not stream.over:
                await asyncio.sleep(0.05)
        if stream.marks[-1]["prompt"] != stream.prompt:
            stream.mark()
        count = F_T if stream.images else 1
        for _ in range(count):
            image = picture(len(stream.images), stream.prompt)
            stream.record(PICTURE, jpeg(image))
            stream.images.append(image)
        stream.record(FIGURES, json.dumps(stream.facts()["figures"]).encode())
        if self.moods.fail_at is not None and len(stream.images) >= self.moods.fail_at:
            stream.status = "failed"
        if len(stream.images) > FPS:
            await asyncio.sleep(count / FPS - STEPS * self.moods.proposal_seconds)

    def found(self, request: Request) -> Stream | None:
        return next((stream for stream in self.streams if stream.id == request.path_params["id"]), None)

    async def one(self, request: Request) -> Response:
        stream = self.found(request)
        if stream is None:
            return problem(404, "there is no such stream", code="gone")
        if request.method == "DELETE":
            stream.deleted, stream.status = True, "stopped"
            return Response(status_code=204)
        if request.method == "PATCH":
            changes = await request.json()
            stream.changes.append(changes)
            stream.wish |= {name: value for name, value in changes.items() if name == "prompt"}
            if "paused" in changes and not stream.over:
                stream.status = "paused" if changes["paused"] else "playing"
        return JSONResponse(stream.facts())

    async def preview(self, request: Request) -> Response:
        stream = self.found(request)
        if stream is None:
            return problem(404, "there is no such stream", code="gone")
        return StreamingResponse(self.records_of(stream), media_type="application/octet-stream")

    async def records_of(self, stream: Stream) -> AsyncIterator[bytes]:
        place = 0
        while place < len(stream.records) or not stream.told_end:
            if place == len(stream.records):
                await asyncio.sleep(0.005)
                continue
            yield stream.records[place]
            place += 1
            if self.moods.cut_at is not None and len(stream.images) >= self.moods.cut_at and not stream.cut:
                stream.cut = True
                return

    async def video(self, request: Request) -> Response:
        stream = self.found(request)
        return StreamingResponse(self.film_of(stream), media_type="video/mp4") if stream else problem(404, "gone")

    async def film_of(self, stream: Stream) -> AsyncIterator[bytes]:
        film, place = Film(), max(0, len(stream.images) - 1)
        while not stream.over:
            for image in stream.images[place:]:
                with CODEC:
                    piece = film.add(image)
                if piece:
                    yield piece
                place += 1
            await asyncio.sleep(0.02)
        yield film.close()

    async def recent(self, request: Request) -> Response:
        stream = self.found(request)
        if stream is None or not stream.images:
            return problem(404, "there is nothing of this stream yet", code="gone")
        count = round(float(request.query_params.get("seconds", 120)) * FPS)
        film = await asyncio.to_thread(whole_film, stream.images[-count:])
        return Response(film, media_type="video/mp4")


def problem(
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
    """The address of an application that is served by a thread meanwhile."""
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
