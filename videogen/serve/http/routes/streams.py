"""/v1/streams: videos without end, watched while they are made and told anew at any time."""

import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen.serve.engine.validation import request_warnings, warning_line
from videogen.serve.errors import NotFoundError
from videogen.serve.http.app_context import Studio, owner_of, query_of, read_wish, studio_of
from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.bodies import read_json
from videogen.serve.http.parsing.fields import Fields
from videogen.serve.http.parsing.request_schemas import wish_of
from videogen.serve.http.streaming_response import Live

if TYPE_CHECKING:
    from videogen.serve.engine.fanout import PreviewEvent
    from videogen.serve.engine.stream import Stream

KINDS = {"frame": 0, "mask": 1, "mark": 2, "end": 3, "stats": 4, "queue": 5}
RECORD = struct.Struct(">BII")  # kind, number of the picture, bytes that follow
RECORDS = "application/octet-stream"


async def create(request: Request) -> Response:
    query_of(request)
    studio = studio_of(request)
    given, initial_frames = await read_wish(request, studio.asking.stream, {"clip": "video", "image": "image"})
    stream = await studio.engine.open_stream(wish_of(given, studio.info, initial_frames), owner_of(request))
    return JSONResponse(stream_object(stream, studio), 201, {"Location": place_of(stream, studio)})


async def retrieve(request: Request) -> Response:
    query_of(request)
    return JSONResponse(stream_object(stream_of(request), studio_of(request)))


async def change(request: Request) -> Response:
    """Another prompt from the next latent frame on; or a pause, or its end."""
    query_of(request)
    studio, stream = studio_of(request), stream_of(request)
    changes = studio.asking.change.check(await read_json(request, studio.engine.limits.body_bytes))
    try:
        await stream.change(**changes)
    except NotFoundError as error:
        raise Problem(409, str(error), code="ended") from None
    return JSONResponse(stream_object(stream, studio))


async def stop(request: Request) -> Response:
    """It is made no further; what was made can still be fetched for a while."""
    query_of(request)
    stream = stream_of(request)
    await stream.stop()
    return JSONResponse(stream_object(stream, studio_of(request)))


async def video(request: Request) -> Response:
    query_of(request)
    stream = stream_of(request)
    headers = {"X-Videogen-Mime": stream.mime}
    if request.method == "HEAD":  # looking is not watching
        return Response(media_type="video/mp4", headers=headers)
    closing = studio_of(request).closing
    return Live(stream.watch_video(), "video/mp4", headers, closing, lambda: stream.status == "failed")


async def preview(request: Request) -> Response:
    query_of(request)
    stream = stream_of(request)
    if request.method == "HEAD":
        return Response(media_type=RECORDS)
    return Live(records_of(stream), RECORDS, {}, studio_of(request).closing)


async def recent(request: Request) -> Response:
    """The last seconds, as a file; by default all that is kept."""
    studio = studio_of(request)
    asked = query_of(request, recent_fields(studio.engine.limits.recent_seconds))
    stream = stream_of(request)
    film = await stream.recent_video(asked.get("seconds"))
    headers = {"Content-Disposition": f'attachment; filename="stream_{stream.id}.mp4"', "Cache-Control": "no-store"}
    return Response(film, media_type="video/mp4", headers=headers)


def recent_fields(longest: float) -> Fields:
    return Fields({"seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": longest}})


def stream_of(request: Request) -> "Stream":
    return studio_of(request).engine.stream(request.path_params["id"])


@asynccontextmanager
async def records_of(stream: "Stream") -> AsyncIterator[AsyncIterator[bytes]]:
    async with stream.watch_preview() as previews:
        yield (record(preview) async for preview in previews)


def record(preview: "PreviewEvent") -> bytes:
    body = payload(preview)
    return RECORD.pack(KINDS[preview.kind], preview.number, len(body)) + body


def payload(preview: "PreviewEvent") -> bytes:
    if preview.kind == "frame":
        return preview.jpeg or b""
    if preview.kind == "mask":
        decided: bytes = preview.data["decided"]
        return bytes((preview.data["height"], preview.data["width"])) + decided
    return json.dumps(preview.data, ensure_ascii=False).encode()


def place_of(stream: "Stream", studio: Studio) -> str:
    return studio.at(f"/v1/streams/{stream.id}")


def stream_object(stream: "Stream", studio: Studio) -> dict[str, Any]:
    """A stream as clients see it."""
    info, place, params = studio.info, place_of(stream, studio), replace(stream.params, prompt=stream.prompt)
    return {
        "id": stream.id,
        "object": "stream",
        "status": stream.status,
        "queue_place": stream.queue_position,
        "model": info.name,
        "prompt": stream.prompt,
        "seed": stream.seed,
        "fps": info.fps,
        "width": info.width,
        "height": info.height,
        "mime": stream.mime,
        "note": warning_line(params, info),
        "warnings": [warning.to_json() for warning in request_warnings(params, info)],
        "created_at": int(stream.created_at),
        "figures": dict(stream.stats),
        "marks": [mark.to_json(info.fps) for mark in stream.marks],
        "error": stream.error,
        "urls": {"self": place, "video": f"{place}/video", "preview": f"{place}/preview", "recent": f"{place}/recent"},
    }
