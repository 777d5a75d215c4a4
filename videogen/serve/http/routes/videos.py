"""/v1/videos: jobs that generate a video file, compatible with OpenAI's client."""

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen.serve.engine.validation import request_warnings, warning_line
from videogen.serve.http.app_context import check_query, context_of, owner_of, read_params
from videogen.serve.http.byte_ranges import VideoFileResponse
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.bodies import content_type
from videogen.serve.http.parsing.request_schemas import VIDEO_ID, generation_params, integer_schema, size_of
from videogen.serve.http.parsing.schema import RequestSchema
from videogen.serve.requests import InitialFrames

if TYPE_CHECKING:
    from videogen.serve.engine.video_job import VideoJob

PREFIX = "video_"
LIST_QUERY = RequestSchema(
    {
        "limit": integer_schema(1, 100, "Number of videos; 20 by default."),
        "after": VIDEO_ID,
        "order": {"type": "string", "enum": ["asc", "desc"], "description": "By time of creation."},
    }
)
CONTENT_QUERY = RequestSchema({"variant": {"type": "string", "enum": ["video"]}})


async def create(request: Request) -> Response:
    check_query(request)
    context = context_of(request)
    given, initial_frames = await read_params(request, context.request_schemas.video, {"input_reference": None})
    job = await context.engine.submit(generation_params(given, context.info, initial_frames), owner_of(request))
    return JSONResponse(video_object(job))


async def extend(request: Request) -> Response:
    """Continue a finished video, or a clip in the request."""
    check_query(request)
    context = context_of(request)
    as_json = content_type(request) == "application/json"
    fields = context.request_schemas.extension if as_json else context.request_schemas.extension_form
    given, initial_frames = await read_params(request, fields, {"video": "video"})
    video_id = given.get("video[id]") or given.get("video", {}).get("id")
    if (video_id is None) == (initial_frames is None):
        raise ApiError(400, "video must be either a file or the id of a finished video", "video", "missing")
    if initial_frames is None:
        initial_frames = await last_frames(request, video_id)
    job = await context.engine.submit(generation_params(given, context.info, initial_frames), owner_of(request))
    return JSONResponse(video_object(job))


async def not_supported(request: Request) -> Response:
    """Operations of OpenAI's client that no model here supports: 400 with a reason, not 404."""
    message = (
        "this server generates and continues videos; it does not remix or edit them, and has no characters. Request a "
        "new video with the same seed and another prompt, or an extension"
    )
    raise ApiError(400, message, code="not_supported")


async def last_frames(request: Request, id: str) -> InitialFrames:
    return await context_of(request).engine.continue_job(require_completed(job_of(request, id)).id)


async def list_videos(request: Request) -> Response:
    context, asked = context_of(request), check_query(request, LIST_QUERY)
    jobs = context.engine.jobs()  # newest first
    if asked.get("order") == "asc":
        jobs = jobs[::-1]
    if "after" in asked:
        ids = [PREFIX + job.id for job in jobs]
        if asked["after"] not in ids:
            raise ApiError(404, "there is no video with the id in after", "after", "gone")
        jobs = jobs[ids.index(asked["after"]) + 1 :]
    page = [video_object(job) for job in jobs[: asked.get("limit", 20)]]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return JSONResponse({"object": "list", "data": page, **ends, "has_more": len(jobs) > len(page)})


async def retrieve(request: Request) -> Response:
    check_query(request)
    return JSONResponse(video_object(job_of(request, request.path_params["id"])))


async def delete(request: Request) -> Response:
    """Delete a video; one that is being generated stops."""
    check_query(request)
    job = job_of(request, request.path_params["id"])
    await context_of(request).engine.delete(job.id)
    return JSONResponse({"id": PREFIX + job.id, "object": "video.deleted", "deleted": True})


async def content(request: Request) -> Response:
    check_query(request, CONTENT_QUERY)
    job = require_completed(job_of(request, request.path_params["id"]))
    return VideoFileResponse(job.content(), f"{PREFIX}{job.id}.mp4", request)


def job_of(request: Request, id: str) -> "VideoJob":
    if not id.startswith(PREFIX):
        raise ApiError(404, "there is no video with this id", code="gone")
    return context_of(request).engine.job(id.removeprefix(PREFIX))


def require_completed(job: "VideoJob") -> "VideoJob":
    if job.status == "failed":
        raise ApiError(409, f"the video failed: {job.error}", code="failed")
    if job.status != "completed":
        raise ApiError(409, f"the video is not finished: {job.status}, {job.progress} %", code="not_finished")
    return job


def video_object(job: "VideoJob") -> dict[str, Any]:
    """The JSON of a job."""
    info = job.info
    failure = None if job.error is None else {"code": "generation_failed", "message": job.error}
    return {
        "id": PREFIX + job.id,
        "object": "video",
        "status": job.status,
        "progress": round(job.progress),
        "model": info.name,
        "prompt": job.params.prompt,
        "control": job.params.control,
        "seconds": f"{job.frames / info.fps:g}",
        "size": size_of(info),
        "frames": job.frames,
        "fps": info.fps,
        "seed": job.seed,
        "note": warning_line(job.params, info),
        "warnings": [warning.to_json() for warning in request_warnings(job.params, info)],
        "created_at": int(job.created_at),
        "completed_at": None if job.completed_at is None else int(job.completed_at),
        "error": failure,
    }
