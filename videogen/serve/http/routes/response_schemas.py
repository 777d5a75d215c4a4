"""The schemas of responses, for the OpenAPI document; tests check every response against them."""

from dataclasses import fields
from typing import Any, get_args

from sampling.config import ORDERS
from videogen.generation.generation_warnings import Kind
from videogen.serve.http.parsing.schema import Schema
from videogen.serve.limits import ServerLimits

DESCRIPTION = (
    "Videos as jobs, and live streams. A stream can also use one WebSocket, at /v1/realtime/video. "
    "Every error is a JSON object with a one-line message."
)
ERROR_DESCRIPTIONS = {
    400: "the request is invalid; param names the field",
    401: "a token is required",
    403: "the request comes from a page of another origin",
    404: "not found, or deleted",
    405: "the path does not support this method",
    408: "the body did not arrive in time",
    409: "not possible in this state",
    413: "too large",
    415: "neither JSON nor a form",
    416: "the range is beyond the end",
    500: "internal error",
    503: "too busy; try again later",
}
TEXT: Schema = {"type": "string"}
NON_NEGATIVE_INTEGER: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
ANY_OBJECT: Schema = {"type": "object"}
CONTROL: Schema = {"description": "An action, a list of numbers, or a list of these; null: none."}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def object_of(**properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def enum_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def array_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def all_schemas() -> dict[str, Any]:
    return {
        "Error": object_of(
            error=object_of(message=TEXT, type=enum_of(*ERROR_TYPES), param=nullable(TEXT), code=nullable(TEXT))
        ),
        "Video": video(),
        "VideoList": object_of(
            object=enum_of("list"),
            data=array_of(ref("Video")),
            first_id=nullable(TEXT),
            last_id=nullable(TEXT),
            has_more={"type": "boolean"},
        ),
        "VideoDeleted": object_of(id=TEXT, object=enum_of("video.deleted"), deleted={"type": "boolean"}),
        "Stream": stream(),
        "Model": model(),
        "ModelList": object_of(object=enum_of("list"), data=array_of(ref("Model"))),
        "Limits": object_of(**{one.name: NUMBER for one in fields(ServerLimits)}),
        "Health": object_of(status=enum_of("ok")),
        "Ready": object_of(status=enum_of("ready")),
    }


ERROR_TYPES = ("invalid_request_error", "not_found", "busy", "server_error")


def video() -> Schema:
    return object_of(
        id=TEXT,
        object=enum_of("video"),
        status=enum_of("queued", "in_progress", "completed", "failed"),
        progress={"type": "integer", "minimum": 0, "maximum": 100},
        model=TEXT,
        prompt=TEXT,
        control=CONTROL,
        seconds=TEXT,
        size=TEXT,
        frames=NON_NEGATIVE_INTEGER,
        fps=NUMBER,
        seed=NON_NEGATIVE_INTEGER,
        note=TEXT,
        warnings=array_of(warning()),
        created_at=NON_NEGATIVE_INTEGER,
        completed_at=nullable(NON_NEGATIVE_INTEGER),
        error=nullable(object_of(code=TEXT, message=TEXT)),
    )


def warning() -> Schema:
    return object_of(
        kind=enum_of(*get_args(Kind)),
        text=TEXT,
        prompt=TEXT,
        read_as=TEXT,
        missing=array_of(TEXT),
        words=array_of(object_of(word=TEXT, suggestions=array_of(TEXT))),
    )


def stream() -> Schema:
    return object_of(
        id=TEXT,
        object=enum_of("stream"),
        status=enum_of("queued", "playing", "paused", "stopped", "failed"),
        queue_place=nullable(NON_NEGATIVE_INTEGER),
        model=TEXT,
        prompt=TEXT,
        control=CONTROL,
        seed=NON_NEGATIVE_INTEGER,
        fps=NUMBER,
        width=NON_NEGATIVE_INTEGER,
        height=NON_NEGATIVE_INTEGER,
        mime=TEXT,
        note=TEXT,
        warnings=array_of(warning()),
        created_at=NON_NEGATIVE_INTEGER,
        stats=ANY_OBJECT,
        marks=array_of(
            object_of(frame=NON_NEGATIVE_INTEGER, seconds=NUMBER, prompt=TEXT, truncated={"type": "boolean"})
        ),
        controls=array_of(object_of(frame=NON_NEGATIVE_INTEGER, seconds=NUMBER, control=CONTROL)),
        error=nullable(TEXT),
        urls=object_of(self=TEXT, video=TEXT, preview=TEXT, recent=TEXT),
    )


def model() -> Schema:
    return object_of(
        id=TEXT,
        object=enum_of("model"),
        created=NON_NEGATIVE_INTEGER,
        owned_by=TEXT,
        objective=enum_of(*ORDERS),
        likelihood={"type": "boolean"},
        text_conditioned={"type": "boolean"},
        playroom={"type": "boolean"},
        fps=NUMBER,
        height=NON_NEGATIVE_INTEGER,
        width=NON_NEGATIVE_INTEGER,
        size=TEXT,
        frames_per_latent=NON_NEGATIVE_INTEGER,
        groups=array_of(array_of(NON_NEGATIVE_INTEGER)),
        default_frames=NON_NEGATIVE_INTEGER,
        window_seconds=NUMBER,
        frames_of_use=NON_NEGATIVE_INTEGER,
        orders=array_of(TEXT),
        sampler=ANY_OBJECT,
        examples=array_of(TEXT),
        device=TEXT,
        fingerprint=TEXT,
        mime=TEXT,
        control=nullable(object_of(discrete=nullable(NON_NEGATIVE_INTEGER), floats=nullable(NON_NEGATIVE_INTEGER))),
    )
