"""/openapi.json: what there is, said of this very model and with the limits of this very server."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import videogen
from videogen.serve.http.app_context import Studio, query_of, studio_of
from videogen.serve.http.parsing.fields import Fields, Schema
from videogen.serve.http.parsing.request_schemas import STREAM_ID, VIDEO_ID
from videogen.serve.http.routes import response_schemas, videos
from videogen.serve.http.routes.streams import recent_fields

Operation = dict[str, Any]
MP4, RECORDS, TEXT = "video/mp4", "application/octet-stream", "text/plain"


async def openapi(request: Request) -> Response:
    query_of(request)
    return JSONResponse(document(studio_of(request)))


def document(studio: Studio) -> dict[str, Any]:
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "videogen", "version": videogen.__version__, "description": response_schemas.ABOUT},
        "paths": {**of_videos(studio), **of_streams(studio), **of_server(studio)},
        "components": {"schemas": response_schemas.all_schemas()},
    }
    if studio.root:
        described["servers"] = [{"url": studio.root}]
    if studio.access.token is not None:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described


def of_videos(studio: Studio) -> dict[str, Any]:
    asking, one = studio.asking, path_id(VIDEO_ID)
    picture = {"input_reference": "A picture that it begins with, or a clip that comes before it."}
    clip = {"video": "The clip that comes before it."}
    return {
        "/v1/videos": {
            "get": operation("List videos", {200: json_of("VideoList")}, 400, 404, query=videos.LISTING),
            "post": operation(
                "Have a video made",
                {200: json_of("Video")},
                *WITH_FILE,
                body=body_of(asking.video, asking.video, picture),
            ),
        },
        "/v1/videos/extensions": {
            "post": operation(
                "Have what comes next made",
                {200: json_of("Video")},
                *WITH_FILE,
                404,
                409,
                body=body_of(asking.extension, asking.extension_form, clip, either=("video", "video[id]")),
            )
        },
        "/v1/videos/{id}": {
            "parameters": [one],
            "get": operation("How far a video is", {200: json_of("Video")}, 400, 404),
            "delete": operation("Delete a video, or stop making it", {200: json_of("VideoDeleted")}, 400, 404),
        },
        "/v1/videos/{id}/content": {
            "parameters": [one],
            "get": operation(
                "The video", {200: bytes_of(MP4), 206: bytes_of(MP4)}, 400, 404, 409, 416, query=videos.CONTENT
            ),
        },
    }


def of_streams(studio: Studio) -> dict[str, Any]:
    asking, one = studio.asking, path_id(STREAM_ID)
    files = {"clip": "A clip that comes before it.", "image": "A picture that it begins with."}
    seconds = recent_fields(studio.engine.limits.recent_seconds)
    change = {"required": True, "content": {"application/json": {"schema": asking.change.schema()}}}
    stream = json_of("Stream")
    return {
        "/v1/streams": {
            "post": operation(
                "Begin a stream", {201: stream}, *WITH_FILE, body=body_of(asking.stream, asking.stream, files, most=1)
            )
        },
        "/v1/streams/{id}": {
            "parameters": [one],
            "get": operation("How a stream is", {200: stream}, 400, 404),
            "patch": operation(
                "Change its prompt, or pause it", {200: stream}, 400, 404, 408, 409, 413, 415, body=change
            ),
            "delete": operation("Stop a stream", {200: stream}, 400, 404),
        },
        "/v1/streams/{id}/video": {
            "parameters": [one],
            "get": operation("Its film while it is made", {200: bytes_of(MP4)}, 400, 404, 503),
        },
        "/v1/streams/{id}/preview": {
            "parameters": [one],
            "get": operation("Its pictures and masks while it is made", {200: bytes_of(RECORDS)}, 400, 404, 503),
        },
        "/v1/streams/{id}/recent": {
            "parameters": [one],
            "get": operation("Its last seconds as a file", {200: bytes_of(MP4)}, 400, 404, 503, query=seconds),
        },
    }


def of_server(studio: Studio) -> dict[str, Any]:
    open_to_all: Operation = {"security": []} if studio.access.token is not None else {}
    name = {"type": "string", "enum": [studio.info.name]}
    return {
        "/v1/models": {"get": operation("The model", {200: json_of("ModelList")}, 400)},
        "/v1/models/{id}": {
            "parameters": [path_id(name)],
            "get": operation("The model", {200: json_of("Model")}, 400, 404),
        },
        "/v1/limits": {"get": operation("What is too much", {200: json_of("Limits")}, 400)},
        "/healthz": {"get": operation("Whether it works", {200: json_of("Health")}, 503) | open_to_all},
        "/readyz": {"get": operation("Whether it can make something now", {200: json_of("Ready")}, 503) | open_to_all},
        "/metrics": {"get": operation("Figures for Prometheus", {200: bytes_of(TEXT)})},
    }


WITH_FILE = (400, 408, 413, 415, 503)


def operation(
    summary: str,
    answers: Mapping[int, Schema],
    *problems: int,
    query: Fields | None = None,
    body: Schema | None = None,
) -> Operation:
    described: Operation = {"summary": summary, "responses": responses(answers, problems)}
    if query is not None:
        described["parameters"] = [
            {"name": name, "in": "query", "schema": schema} for name, schema in query.schemas.items()
        ]
    if body is not None:
        described["requestBody"] = body
    return described


def responses(answers: Mapping[int, Schema], problems: tuple[int, ...]) -> Schema:
    right = {str(status): {"description": "as asked", "content": content} for status, content in answers.items()}
    wrong = {str(status): problem_response(status) for status in sorted({*problems, 401, 403, 405})}
    return {**right, **wrong, "default": problem_response(500)}


def problem_response(status: int) -> Schema:
    response: Schema = {"description": response_schemas.PROBLEMS[status], "content": json_of("Error")}
    if status == 503:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return response


def body_of(
    fields: Fields, form: Fields, files: Mapping[str, str], most: int | None = None, either: tuple[str, ...] = ()
) -> Schema:
    """As JSON, or as a form with files: at most so many of them, or one of these fields and files."""
    as_form = form.form_schema(files)
    if either:
        as_form["oneOf"] = [{"required": [name]} for name in either]
    if most is not None:
        as_form = {"allOf": [as_form], "not": {"required": list(files)}}
    content = {"application/json": {"schema": fields.schema()}, "multipart/form-data": {"schema": as_form}}
    return {"required": True, "content": content}


def json_of(name: str) -> Schema:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def bytes_of(media_type: str) -> Schema:
    return {
        media_type: {"schema": {"type": "string"} if media_type == TEXT else {"type": "string", "format": "binary"}}
    }


def path_id(schema: Schema) -> Schema:
    return {"name": "id", "in": "path", "required": True, "schema": schema}
