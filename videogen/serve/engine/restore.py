"""Jobs of an earlier server: those that have ended stay as they were, the others are made from the beginning.

The same request and seed give the same bytes, so nothing of an unfinished video has to be kept.
"""

import time
from dataclasses import replace

from videogen.serve.engine.engine_context import EngineContext, loop_time
from videogen.serve.engine.job_database import JobRecord
from videogen.serve.engine.stream import Stream
from videogen.serve.engine.validation import validate_request
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.errors import InvalidParamError
from videogen.serve.log import request_scope
from videogen.serve.model_info import ModelInfo


def restore_stream(record: JobRecord, context: EngineContext) -> Stream:
    """The stream of a job: it ended as it did, or is to be made."""
    if not is_same_model(record.info, context.info):
        context = replace(context, info=record.info)  # what is told about the video is about that model
    with request_scope(record.request_id):
        stream = Stream(context, record.params, record.seed, record.frames, False, record.owner, record.id)
    stream.created_at = record.created_at
    if record.status != "unfinished":
        ended_at = loop_time() + (record.ended_at or record.created_at) - time.time()
        stream.restore_end("failed" if record.error else "stopped", record.error, ended_at, record.frames_made)
    return stream


def restore_job(record: JobRecord, job: VideoJob, context: EngineContext) -> None:
    """Give the job of the stream its file, or fail it if this server cannot make it."""
    if record.status == "completed":
        job.completed_at, job.size = record.ended_at, record.size
    elif record.status == "unfinished":
        context.totals["jobs_opened"] += 1
        if (problem := why_not(record, context)) is not None:
            job.stream.end("failed", problem)


def why_not(record: JobRecord, context: EngineContext) -> str | None:
    """Why this server cannot make the video of an unfinished job; None if it can."""
    info = context.info
    if not is_same_model(record.info, info):
        return f"it was submitted to the model {name_of(record.info)}; the server now has {name_of(info)}"
    try:
        validate_request(record.params, info, context.limits, context.limits.frames)
    except InvalidParamError as error:
        return f"the server no longer takes the request: {error}"
    return None


def is_same_model(one: ModelInfo, other: ModelInfo) -> bool:
    return (one.name, one.fingerprint) == (other.name, other.fingerprint)


def name_of(info: ModelInfo) -> str:
    return f"{info.name} ({info.fingerprint[:12] or 'no fingerprint'})"
