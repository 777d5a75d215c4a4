"""/openapi.json: the API, with the schemas of this model and the limits of this server."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import videogen
from videogen.serve.http.app_context import AppContext, check_query, context_of
from videogen.serve.http.parsing.request_schemas import STREAM_ID, VIDEO_ID
from videogen.serve.http.parsing.schema import RequestSchema, Schema
from videogen.serve.http.routes import response_schemas, videos
from videogen.serve.http.routes.streams import recent_query

Operation = dict[str, Any]
MP4, RECORDS, TEXT = "video/mp4", "application/octet-stream", "text/plain"


async def openapi(request: Request) -> Response:
    check_query(request)
    return JSONResponse(document(context_of(request)))


def document(context: AppContext) -> dict[str, Any]:
    describe: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "videogen", "version": videogen.__version__, "description": response_schemas.DESCRIPTION},
        "paths": {**video_paths(context), **stream_paths(context), **server_paths(context)},
        "components": {"schemas": response_schemas.all_schemas()},
    }
    if context.root:
        describe["servers"] = [{"url": context.root}]
    if context.access.token is not None:
        describe["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        describe["security"] = [{"token": []}]
    return describe


def video_paths(context: AppContext) -> dict[str, Any]:
    request_schemas, one = context.request_schemas, path_id(VIDEO_ID)
    reference = {"input_reference": "An image to start from, or a clip to continue."}
    clip = {"video": "The clip to continue."}
    return {
        "/v1/videos": {
            "get": operation("List videos", {200: json_content("VideoList")}, 400, 404, query=videos.LIST_QUERY),
            "post": operation(
                "Generate a video",
                {200: json_content("Video")},
                *UPLOAD_ERRORS,
                body=request_body(request_schemas.video, request_schemas.video, reference),
            ),
        },
        "/v1/videos/extensions": {
            "post": operation(
                "Continue a video",
                {200: json_content("Video")},
                *UPLOAD_ERRORS,
                404,
                409,
                body=request_body(
                    request_schemas.extension, request_schemas.extension_form, clip, either=("video", "video[id]")
                ),
            )
        },
        "/v1/videos/{id}": {
            "parameters": [one],
            "get": operation("Get a video", {200: json_content("Video")}, 400, 404),
            "delete": operation("Delete a video, or cancel it", {200: json_content("VideoDeleted")}, 400, 404),
        },
        "/v1/videos/{id}/content": {
            "parameters": [one],
            "get": operation(
                "Download a video",
                {200: binary_content(MP4), 206: binary_content(MP4)},
                400,
                404,
                409,
                416,
                query=videos.CONTENT_QUERY,
            ),
        },
    }


def stream_paths(context: AppContext) -> dict[str, Any]:
    request_schemas, one = context.request_schemas, path_id(STREAM_ID)
    files = {"clip": "A clip to continue.", "image": "An image to start from."}
    seconds = recent_query(context.engine.limits.recent_seconds)
    change = {"required": True, "content": {"application/json": {"schema": request_schemas.change.schema()}}}
    stream = json_content("Stream")
    return {
        "/v1/streams": {
            "post": operation(
                "Start a stream",
                {201: stream},
                *UPLOAD_ERRORS,
                body=request_body(request_schemas.stream, request_schemas.stream, files, most=1),
            )
        },
        "/v1/streams/{id}": {
            "parameters": [one],
            "get": operation("Get a stream", {200: stream}, 400, 404),
            "patch": operation(
                "Change the prompt or the control, pause or resume",
                {200: stream},
                400,
                404,
                408,
                409,
                413,
                415,
                body=change,
            ),
            "delete": operation("Stop a stream", {200: stream}, 400, 404),
        },
        "/v1/streams/{id}/video": {
            "parameters": [one],
            "get": operation("The video while it is generated", {200: binary_content(MP4)}, 400, 404, 503),
        },
        "/v1/streams/{id}/preview": {
            "parameters": [one],
            "get": operation(
                "Frames and masks while they are generated", {200: binary_content(RECORDS)}, 400, 404, 503
            ),
        },
        "/v1/streams/{id}/recent": {
            "parameters": [one],
            "get": operation("The last seconds as a file", {200: binary_content(MP4)}, 400, 404, 503, query=seconds),
        },
    }


def server_paths(context: AppContext) -> dict[str, Any]:
    is_public: Operation = {"security": []} if context.access.token is not None else {}
    name = {"type": "string", "enum": [context.info.name]}
    return {
        "/v1/models": {"get": operation("The model", {200: json_content("ModelList")}, 400)},
        "/v1/models/{id}": {
            "parameters": [path_id(name)],
            "get": operation("The model", {200: json_content("Model")}, 400, 404),
        },
        "/v1/limits": {"get": operation("The limits of the server", {200: json_content("Limits")}, 400)},
        "/health": {"get": operation("The same as /healthz", {200: json_content("Health")}, 503) | is_public},
        "/healthz": {"get": operation("Whether the server works", {200: json_content("Health")}, 503) | is_public},
        "/readyz": {
            "get": operation("Whether the server can accept a request now", {200: json_content("Ready")}, 503)
            | is_public
        },
        "/metrics": {"get": operation("Metrics for Prometheus", {200: binary_content(TEXT)})},
    }


UPLOAD_ERRORS = (400, 408, 413, 415, 503)


def operation(
    summary: str,
    answers: Mapping[int, Schema],
    *problems: int,
    query: RequestSchema | None = None,
    body: Schema | None = None,
) -> Operation:
    describe: Operation = {"summary": summary, "responses": responses(answers, problems)}
    if query is not None:
        describe["parameters"] = [
            {"name": name, "in": "query", "schema": schema} for name, schema in query.schemas.items()
        ]
    if body is not None:
        describe["requestBody"] = body
    return describe


def responses(answers: Mapping[int, Schema], problems: tuple[int, ...]) -> Schema:
    right = {str(status): {"description": "success", "content": content} for status, content in answers.items()}
    wrong = {str(status): error_response(status) for status in sorted({*problems, 401, 403, 405})}
    return {**right, **wrong, "default": error_response(500)}


def error_response(status: int) -> Schema:
    response: Schema = {"description": response_schemas.ERROR_DESCRIPTIONS[status], "content": json_content("Error")}
    if status == 503:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return response


def request_body(
    fields: RequestSchema,
    form: RequestSchema,
    files: Mapping[str, str],
    most: int | None = None,
    either: tuple[str, ...] = (),
) -> Schema:
    """JSON, or a form with files: at most `most` of them, or exactly one of the names in `either`."""
    as_form = form.form_schema(files)
    if either:
        as_form["oneOf"] = [{"required": [name]} for name in either]
    if most is not None:
        as_form = {"allOf": [as_form], "not": {"required": list(files)}}
    content: Schema = {"application/json": {"schema": fields.schema()}, "multipart/form-data": {"schema": as_form}}
    if "control" in form.schemas:  # as JSON; the default for a list is one part for each element
        content["multipart/form-data"]["encoding"] = {"control": {"contentType": "application/json"}}
    return {"required": True, "content": content}


def json_content(name: str) -> Schema:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def binary_content(media_type: str) -> Schema:
    return {
        media_type: {"schema": {"type": "string"} if media_type == TEXT else {"type": "string", "format": "binary"}}
    }


def path_id(schema: Schema) -> Schema:
    return {"name": "id", "in": "path", "required": True, "schema": schema}
