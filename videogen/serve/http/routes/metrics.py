"""/metrics: the engine's counters in the text format of Prometheus."""

from collections.abc import Mapping, Sequence

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
    "replica_up": "Whether a model process is ready.",
    "replica_streams": "Streams and jobs that a model process works on in turn.",
    "replica_queue": "Streams and jobs that wait for a model process.",
}
ABOUT = {  # others say their name
    "replica_restarts": "Times that a model process was started again.",
    "replica_frames": "Frames that a replica has made.",
    "replica_seconds": "Seconds that the prior and the decoder of a replica have worked.",
}


async def metrics(request: Request) -> Response:
    context = context_of(request)
    of_server = {"up": float(context.engine.healthy()), "start_time_seconds": float(context.started_at)}
    of_all = to_prometheus({**of_server, **context.engine.counters})
    return Response(of_all + replica_series(context.engine.replica_counters), media_type=MEDIA_TYPE)


def replica_series(counters: Sequence[Mapping[str, float]]) -> str:
    """One metric after the other, each with the values of all replicas."""
    names = counters[0] if counters else ()
    return "".join(format_series(f"replica_{name}", [each[name] for each in counters]) for name in names)


def format_series(name: str, values: Sequence[float]) -> str:
    about, full = describe_metric(name)
    samples = (f'{full}{{replica="{number}"}} {float(value):.15g}\n' for number, value in enumerate(values))
    return about + "".join(samples)


def to_prometheus(values: Mapping[str, float]) -> str:
    return "".join(format_sample(name, value) for name, value in values.items())


def format_sample(name: str, value: float) -> str:
    about, full = describe_metric(name)
    return f"{about}{full} {float(value):.15g}\n"


def describe_metric(name: str) -> tuple[str, str]:
    """The lines with help and type, and the full name; names of counters end with _total."""
    gauge = name in GAUGES
    full = f"videogen_{name}" if gauge else f"videogen_{name}_total"
    about = (GAUGES | ABOUT).get(name, f"{name.replace('_', ' ').capitalize()} since the start.")
    return f"# HELP {full} {about}\n# TYPE {full} {'gauge' if gauge else 'counter'}\n", full
