"""/v1/streams: videos that are watched while they are generated, and whose prompt can change."""

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
from videogen.serve.http.app_context import AppContext, check_query, context_of, owner_of, read_params
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.bodies import read_json
from videogen.serve.http.parsing.request_schemas import generation_params
from videogen.serve.http.parsing.schema import RequestSchema
from videogen.serve.http.streaming_response import LiveResponse

if TYPE_CHECKING:
    from videogen.serve.engine.fanout import PreviewEvent
    from videogen.serve.engine.stream import Stream

KINDS = {"frame": 0, "mask": 1, "mark": 2, "end": 3, "stats": 4, "queue": 5}
RECORD = struct.Struct(">BII")  # kind, frame number, length of the payload
RECORDS = "application/octet-stream"


async def create(request: Request) -> Response:
    check_query(request)
    context = context_of(request)
    given, initial_frames = await read_params(
        request, context.request_schemas.stream, {"clip": "video", "image": "image"}
    )
    stream = await context.engine.open_stream(generation_params(given, context.info, initial_frames), owner_of(request))
    return JSONResponse(stream_object(stream, context), 201, {"Location": stream_path(stream, context)})


async def retrieve(request: Request) -> Response:
    check_query(request)
    return JSONResponse(stream_object(stream_of(request), context_of(request)))


async def change(request: Request) -> Response:
    """Change the prompt or the control from the next latent frame on, pause or resume."""
    check_query(request)
    context, stream = context_of(request), stream_of(request)
    changes = context.request_schemas.change.check(await read_json(request, context.engine.limits.body_bytes))
    try:
        await stream.change(**changes)
    except NotFoundError as error:
        raise ApiError(409, str(error), code="ended") from None
    return JSONResponse(stream_object(stream, context))


async def stop(request: Request) -> Response:
    """Stop generating; the frames so far can be fetched for a while."""
    check_query(request)
    stream = stream_of(request)
    await stream.stop()
    return JSONResponse(stream_object(stream, context_of(request)))


async def video(request: Request) -> Response:
    check_query(request)
    stream = stream_of(request)
    headers = {"X-Videogen-Mime": stream.mime}
    if request.method == "HEAD":  # HEAD does not count as a viewer
        return Response(media_type="video/mp4", headers=headers)
    closing = context_of(request).closing
    return LiveResponse(stream.watch_video(), "video/mp4", headers, closing, lambda: stream.status == "failed")


async def preview(request: Request) -> Response:
    check_query(request)
    stream = stream_of(request)
    if request.method == "HEAD":
        return Response(media_type=RECORDS)
    return LiveResponse(preview_records(stream), RECORDS, {}, context_of(request).closing)


async def recent(request: Request) -> Response:
    """The last seconds as a file; by default all that is kept."""
    context = context_of(request)
    asked = check_query(request, recent_query(context.engine.limits.recent_seconds))
    stream = stream_of(request)
    mp4 = await stream.recent_video(asked.get("seconds"))
    headers = {"Content-Disposition": f'attachment; filename="stream_{stream.id}.mp4"', "Cache-Control": "no-store"}
    return Response(mp4, media_type="video/mp4", headers=headers)


def recent_query(longest: float) -> RequestSchema:
    return RequestSchema({"seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": longest}})


def stream_of(request: Request) -> "Stream":
    return context_of(request).engine.stream(request.path_params["id"])


@asynccontextmanager
async def preview_records(stream: "Stream") -> AsyncIterator[AsyncIterator[bytes]]:
    async with stream.watch_preview() as previews:
        yield (encode_record(preview) async for preview in previews)


def encode_record(preview: "PreviewEvent") -> bytes:
    body = encode_payload(preview)
    return RECORD.pack(KINDS[preview.kind], preview.number, len(body)) + body


def encode_payload(preview: "PreviewEvent") -> bytes:
    if preview.kind == "frame":
        return preview.jpeg or b""
    if preview.kind == "mask":
        decided: bytes = preview.data["decided"]
        return bytes((preview.data["height"], preview.data["width"])) + decided
    return json.dumps(preview.data, ensure_ascii=False).encode()


def stream_path(stream: "Stream", context: AppContext) -> str:
    return context.at(f"/v1/streams/{stream.id}")


def stream_object(stream: "Stream", context: AppContext) -> dict[str, Any]:
    """The JSON of a stream."""
    info, path, params = context.info, stream_path(stream, context), replace(stream.params, prompt=stream.prompt)
    return {
        "id": stream.id,
        "object": "stream",
        "status": stream.status,
        "queue_place": stream.queue_position,
        "model": info.name,
        "prompt": stream.prompt,
        "control": stream.control,
        "seed": stream.seed,
        "fps": info.fps,
        "width": info.width,
        "height": info.height,
        "mime": stream.mime,
        "note": warning_line(params, info),
        "warnings": [warning.to_json() for warning in request_warnings(params, info)],
        "created_at": int(stream.created_at),
        "stats": dict(stream.stats),
        "marks": [mark.to_json(info.fps) for mark in stream.marks],
        "controls": [mark.to_json(info.fps) for mark in stream.controls],
        "error": stream.error,
        "urls": {"self": path, "video": f"{path}/video", "preview": f"{path}/preview", "recent": f"{path}/recent"},
    }
