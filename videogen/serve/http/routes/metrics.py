"""/metrics: the engine's counters in the text format of Prometheus."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from videogen.serve.http.app_context import context_of

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGES = {  # all others are counters
    "up": "Whether the model process is ready.",
    "start_time_seconds": "Unix time of the start of the server.",
    "viewers": "Viewers of videos and previews.",
    "streams_open": "Streams that have not ended.",
    "jobs_open": "Jobs that have not ended.",
    "queue_length": "Streams and jobs that wait for the model.",
    "playing": "Streams and jobs that the model works on in turn.",
}


async def metrics(request: Request) -> Response:
    context = context_of(request)
    of_server = {"up": float(context.engine.healthy()), "start_time_seconds": float(context.started_at)}
    return Response(to_prometheus({**of_server, **context.engine.counters}), media_type=MEDIA_TYPE)


def to_prometheus(values: Mapping[str, float]) -> str:
    return "".join(f"{format_sample(name, value)}\n" for name, value in values.items())


def format_sample(name: str, value: float) -> str:
    """One metric with help and type; names of counters end with _total."""
    gauge = name in GAUGES
    full = f"videogen_{name}" if gauge else f"videogen_{name}_total"
    about = GAUGES.get(name, f"{name.replace('_', ' ').capitalize()} since the start.")
    return f"# HELP {full} {about}\n# TYPE {full} {'gauge' if gauge else 'counter'}\n{full} {float(value):.15g}"
