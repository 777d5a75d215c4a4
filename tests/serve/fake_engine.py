"""An engine without a model: the interface of `engine/engine.py`, and bytes that only look like a film."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from videogen.serve.engine.events import ControlMark, PromptMark
from videogen.serve.engine.fanout import PreviewEvent
from videogen.serve.errors import BusyError, InvalidParamError, NotFoundError, UploadError, UploadTooLargeError
from videogen.serve.limits import ServerLimits
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, InitialFrames

MIME = 'video/mp4; codecs="avc1.42E01E"'
INFO = ModelInfo(
    name="fake",
    objective="masked",
    text_conditioned=True,
    playroom=False,
    fps=8.0,
    height=16,
    width=24,
    frames_per_latent=4,
    groups=((2, 3),),
    default_frames=9,
    window_seconds=1.0,
    frames_of_use=9,
    sampler={"order": "halton", "steps": 8, "temperature": 1.0},
    examples=("a small red ring drifts left over a dark blue background",),
    device="cpu",
    mime=MIME,
)
HEADER = b"\0\0\0\x18ftypisom" + bytes(12)
PIECE = b"\0\0\0\x10moof" + bytes(8)
BEGINNING = InitialFrames("video", bytes(16 * 24 * 3), 1, "cropped to the shape of 16 x 24")


class FakeViewer:
    """Pieces with a pause between them; a reader can be told that it is lost."""

    def __init__(self, items: list[Any], pause: float, endless: bool) -> None:
        self.items, self.pause, self.endless, self.count = items, pause, endless, 0
        self.lost, self.ended = asyncio.Event(), asyncio.Event()

    def __aiter__(self) -> "FakeViewer":
        return self

    async def __anext__(self) -> Any:
        if self.ended.is_set() or (self.count >= len(self.items) and not self.endless):
            raise StopAsyncIteration
        await asyncio.sleep(self.pause if self.count else 0)
        item = self.items[min(self.count, len(self.items) - 1)]
        self.count += 1
        return item


@dataclass(eq=False)
class FakeStream:
    params: GenerationParams
    engine: "FakeEngine"
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "playing"
    queue_position: int | None = None
    created_at: float = field(default_factory=time.time)
    marks: list[PromptMark] = field(default_factory=list)
    controls: list[ControlMark] = field(default_factory=list)
    error: str | None = None
    mime: str = MIME
    viewers: list[FakeViewer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt, self.transition = self.params.prompt, self.params.transition
        self.control = self.params.control
        self.seed = self.params.seed or 0

    @property
    def stats(self) -> dict[str, Any]:
        return {"frames": 9, "speed": 4.125, "first_frame": 0.1, "frames_per_second": 33.0, "steps": 8.0}

    async def change(
        self, prompt: str | None = None, paused: bool | None = None, transition: Any = None, control: Any = None
    ) -> None:
        if self.status == "stopped":
            raise NotFoundError("the stream has ended; start another one")
        self.prompt = self.prompt if prompt is None else prompt
        self.transition = transition or self.transition
        if prompt is not None:
            self.marks.append(PromptMark(5, prompt, False))
        if control is not None:
            self.control = control
            self.controls.append(ControlMark(len(self.controls), 5, control))
        if paused is not None:
            self.status = "paused" if paused else "playing"

    async def stop(self) -> None:
        if self.status != "failed":
            self.status = "stopped"
        for viewer in self.viewers:
            viewer.ended.set()

    @asynccontextmanager
    async def watch_video(self) -> AsyncIterator[FakeViewer]:
        async with self._watched(
            FakeViewer([HEADER + PIECE, *self.engine.pieces], 0.005, self.engine.endless)
        ) as viewer:
            yield viewer

    @asynccontextmanager
    async def watch_preview(self) -> AsyncIterator[FakeViewer]:
        seen = [
            PreviewEvent("queue", 0, None, {"status": "playing", "queue_place": None}),
            PreviewEvent("stats", 0, None, self.stats),
            PreviewEvent("mask", 1, None, {"height": 2, "width": 3, "decided": b"\0\1\0\1\1\1"}),
            PreviewEvent("frame", 1, b"\xff\xd8jpeg\xff\xd9"),
            PreviewEvent("mark", 5, None, PromptMark(5, "gr\u00fcn", False).to_json(INFO.fps)),
            PreviewEvent("end", 9, None, {"status": "stopped", "error": None}),
        ]
        async with self._watched(FakeViewer(seen, 0.001, False)) as viewer:
            yield viewer

    @asynccontextmanager
    async def _watched(self, viewer: FakeViewer) -> AsyncIterator[FakeViewer]:
        if self.engine.full:
            raise BusyError("400 viewers are watching, the limit; try again later", 5)
        self.viewers.append(viewer)
        try:
            yield viewer
        finally:
            self.viewers.remove(viewer)

    async def recent_video(self, seconds: float | None = None) -> bytes:
        self.engine.fetched += 1
        return HEADER + PIECE * int(seconds or 9) + self.engine.padding


@dataclass(eq=False)
class FakeJob:
    """Completed a moment after it was asked for, unless the engine is slow."""

    params: GenerationParams
    frames: int
    engine: "FakeEngine"
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    created_at: float = field(default_factory=time.time)
    error: str | None = None
    info: ModelInfo = INFO

    @property
    def seed(self) -> int:
        return self.params.seed or 0

    @property
    def age(self) -> float:
        return 0.0 if self.engine.slow else time.time() - self.created_at

    @property
    def status(self) -> str:
        if self.error is not None:
            return "failed"
        return "queued" if self.age < 0.01 else "in_progress" if self.age < 0.02 else "completed"

    @property
    def progress(self) -> int:
        return min(100, int(self.age / 0.02 * 100))

    @property
    def completed_at(self) -> float | None:
        return self.created_at + 0.02 if self.status == "completed" else None

    def content(self) -> Path:
        path = self.engine.folder / f"{self.id}.mp4"
        path.write_bytes(HEADER + PIECE * 10 + self.engine.padding)
        self.engine.fetched += 1
        return path


class FakeEngine:
    def __init__(self, folder: Path, limits: ServerLimits | None = None) -> None:
        self.folder, self.limits, self.info = folder, limits or ServerLimits(), INFO
        self.alive, self.supervises, self.full, self.endless, self.slow = True, True, False, False, False
        self.pieces: list[bytes] = [PIECE] * 3
        self.padding = b""  # at the end of whole films
        self.fetched = 0  # of them
        self.submitted: list[GenerationParams] = []
        self.uploads: list[tuple[str, int, str]] = []  # kind, bytes, their hash
        self.all_streams: dict[str, FakeStream] = {}
        self.all_jobs: dict[str, FakeJob] = {}

    @property
    def counters(self) -> dict[str, float]:
        return {"streams_opened": len(self.all_streams), "viewers": 0, "prior_seconds": 0.25}

    @property
    def replica_counters(self) -> list[dict[str, float]]:
        return [{"up": 1.0, "frames": 5.0}, {"up": 0.0, "frames": 7.0}]

    def supervised(self) -> bool:
        return self.supervises

    def healthy(self) -> bool:
        return self.alive

    def _admit(self, params: GenerationParams) -> None:
        if self.full:
            raise BusyError("20 streams and videos are running or waiting; try again later", 7)
        if params.sampling.get("top_k") == 13:
            raise InvalidParamError("top_k", "top_k is 13, which brings bad luck")
        self.submitted.append(params)

    async def open_stream(self, params: GenerationParams, owner: str = "") -> FakeStream:
        self._admit(params)
        stream = FakeStream(params, self)
        self.all_streams[stream.id] = stream
        return stream

    def stream(self, name: str) -> FakeStream:
        if name not in self.all_streams:
            raise NotFoundError("there is no stream with this id, or it has been dropped")
        return self.all_streams[name]

    async def submit(self, params: GenerationParams, owner: str = "") -> FakeJob:
        self._admit(params)
        job = FakeJob(params, params.frames or INFO.default_frames, self)
        self.all_jobs[job.id] = job
        return job

    def job(self, name: str) -> FakeJob:
        if name not in self.all_jobs:
            raise NotFoundError("there is no video with this id, or it has been deleted")
        return self.all_jobs[name]

    def jobs(self) -> list[FakeJob]:
        return list(reversed(self.all_jobs.values()))

    async def delete(self, name: str) -> None:
        self.job(name)
        del self.all_jobs[name]

    async def take_upload(self, chunks: AsyncIterator[bytes], kind: str) -> InitialFrames:
        if self.full:
            raise BusyError("many clips are being read; try again later", 5)
        size, digest, first = 0, hashlib.sha256(), b""
        async for chunk in chunks:
            first, size = first or chunk, size + len(chunk)
            digest.update(chunk)
            if size > self.limits.upload_bytes:
                raise UploadTooLargeError(f"the upload has more than {self.limits.upload_bytes} bytes, the limit")
        if first.startswith(b"broken"):
            raise UploadError("the clip cannot be read: no video in it")
        self.uploads.append((kind, size, digest.hexdigest()))
        return replace(BEGINNING, kind=kind)  # type: ignore[arg-type]

    async def continue_job(self, name: str) -> InitialFrames:
        self.job(name)
        return BEGINNING
