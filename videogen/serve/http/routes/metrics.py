"""/metrics: the engine's counters as text for Prometheus."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from videogen.serve.http.app_context import studio_of

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NOW = {  # what comes and goes; all else only grows
    "up": "Whether there is a model process that can work.",
    "start_time_seconds": "When the server was started, in seconds since 1970.",
    "viewers": "Who watches a film or a preview.",
    "streams_open": "Streams that have not ended.",
    "jobs_open": "Videos that have not ended.",
    "queue_length": "Streams and videos that wait for the model.",
    "playing": "Streams and videos that the model works on in turn.",
}


async def metrics(request: Request) -> Response:
    studio = studio_of(request)
    of_server = {"up": float(studio.engine.healthy()), "start_time_seconds": float(studio.started_at)}
    return Response(exposition({**of_server, **studio.engine.counters}), media_type=MEDIA_TYPE)


def exposition(values: Mapping[str, float]) -> str:
    return "".join(f"{sample(name, value)}\n" for name, value in values.items())


def sample(name: str, value: float) -> str:
    """A value with what it is: that of now, or a sum since the start, whose name then ends with _total."""
    now = name in NOW
    full = f"videogen_{name}" if now else f"videogen_{name}_total"
    about = NOW.get(name, f"{name.replace('_', ' ').capitalize()} since the start.")
    return f"# HELP {full} {about}\n# TYPE {full} {'gauge' if now else 'counter'}\n{full} {float(value):.15g}"
