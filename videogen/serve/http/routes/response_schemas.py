"""What answers look like, for the OpenAPI document; tests hold every answer against these."""

from dataclasses import fields
from typing import Any, get_args

from videogen.generation_warnings import Kind
from videogen.serve.http.parsing.fields import Schema
from videogen.serve.limits import ServerLimits

ABOUT = (
    "Videos as jobs, and streams without end. A stream can also be had over one WebSocket, at /v1/realtime/video. "
    "Every problem is one JSON object with one clear line."
)
PROBLEMS = {
    400: "something in the request is wrong; param says what",
    401: "a token is needed",
    403: "a page of another origin may not ask",
    404: "there is no such thing, or not any more",
    405: "the address does not know this method",
    408: "the body stopped coming, or came too slowly",
    409: "not in this state",
    413: "too large",
    415: "neither JSON nor a form",
    416: "no such range",
    500: "our fault",
    503: "too busy; come back later",
}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
AMOUNT: Schema = {"type": "number"}
ANY_OBJECT: Schema = {"type": "object"}


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def record(**properties: Schema) -> Schema:
    """An object with exactly these."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def listed(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def all_schemas() -> dict[str, Any]:
    return {
        "Error": record(error=record(message=TEXT, type=one_of(*ERROR_TYPES), param=maybe(TEXT), code=maybe(TEXT))),
        "Video": video(),
        "VideoList": record(
            object=one_of("list"),
            data=listed(named("Video")),
            first_id=maybe(TEXT),
            last_id=maybe(TEXT),
            has_more={"type": "boolean"},
        ),
        "VideoDeleted": record(id=TEXT, object=one_of("video.deleted"), deleted={"type": "boolean"}),
        "Stream": stream(),
        "Model": model(),
        "ModelList": record(object=one_of("list"), data=listed(named("Model"))),
        "Limits": record(**{one.name: AMOUNT for one in fields(ServerLimits)}),
        "Health": record(status=one_of("ok")),
        "Ready": record(status=one_of("ready")),
    }


ERROR_TYPES = ("invalid_request_error", "not_found", "busy", "server_error")


def video() -> Schema:
    return record(
        id=TEXT,
        object=one_of("video"),
        status=one_of("queued", "in_progress", "completed", "failed"),
        progress={"type": "integer", "minimum": 0, "maximum": 100},
        model=TEXT,
        prompt=TEXT,
        seconds=TEXT,
        size=TEXT,
        frames=COUNT,
        fps=AMOUNT,
        seed=COUNT,
        note=TEXT,
        warnings=listed(warning()),
        created_at=COUNT,
        completed_at=maybe(COUNT),
        error=maybe(record(code=TEXT, message=TEXT)),
    )


def warning() -> Schema:
    return record(
        kind=one_of(*get_args(Kind)),
        text=TEXT,
        prompt=TEXT,
        read_as=TEXT,
        missing=listed(TEXT),
        words=listed(record(word=TEXT, suggestions=listed(TEXT))),
    )


def stream() -> Schema:
    return record(
        id=TEXT,
        object=one_of("stream"),
        status=one_of("queued", "playing", "paused", "stopped", "failed"),
        queue_place=maybe(COUNT),
        model=TEXT,
        prompt=TEXT,
        seed=COUNT,
        fps=AMOUNT,
        width=COUNT,
        height=COUNT,
        mime=TEXT,
        note=TEXT,
        warnings=listed(warning()),
        created_at=COUNT,
        figures=ANY_OBJECT,
        marks=listed(record(picture=COUNT, seconds=AMOUNT, prompt=TEXT, cut_short={"type": "boolean"})),
        error=maybe(TEXT),
        urls=record(self=TEXT, video=TEXT, preview=TEXT, recent=TEXT),
    )


def model() -> Schema:
    return record(
        id=TEXT,
        object=one_of("model"),
        created=COUNT,
        owned_by=TEXT,
        objective=one_of("masked", "autoregressive"),
        told={"type": "boolean"},
        playroom={"type": "boolean"},
        fps=AMOUNT,
        height=COUNT,
        width=COUNT,
        size=TEXT,
        frames_per_latent=COUNT,
        groups=listed(listed(COUNT)),
        default_frames=COUNT,
        window_seconds=AMOUNT,
        frames_of_use=COUNT,
        orders=listed(TEXT),
        sampler=ANY_OBJECT,
        examples=listed(TEXT),
        device=TEXT,
        fingerprint=TEXT,
        mime=TEXT,
    )
