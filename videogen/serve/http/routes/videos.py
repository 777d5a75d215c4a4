"""/v1/videos: jobs, as servers of videos have them; OpenAI's client knows how to ask for them."""

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen.serve.engine.validation import request_warnings, warning_line
from videogen.serve.http.app_context import owner_of, query_of, read_wish, studio_of
from videogen.serve.http.byte_ranges import Film
from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.bodies import content_type
from videogen.serve.http.parsing.fields import Fields
from videogen.serve.http.parsing.request_schemas import VIDEO_ID, size_of, whole, wish_of
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import InitialFrames

if TYPE_CHECKING:
    from videogen.serve.engine.video_job import VideoJob

PREFIX = "video_"
LISTING = Fields(
    {
        "limit": whole(1, 100, "How many; 20 where it is not said."),
        "after": VIDEO_ID,
        "order": {"type": "string", "enum": ["asc", "desc"], "description": "By when they were asked for."},
    }
)
CONTENT = Fields({"variant": {"type": "string", "enum": ["video"]}})


async def create(request: Request) -> Response:
    query_of(request)
    studio = studio_of(request)
    given, initial_frames = await read_wish(request, studio.asking.video, {"input_reference": None})
    job = await studio.engine.submit(wish_of(given, studio.info, initial_frames), owner_of(request))
    return JSONResponse(video_object(job, studio.info))


async def extend(request: Request) -> Response:
    """What comes after a finished video, or after a clip that is sent along."""
    query_of(request)
    studio = studio_of(request)
    as_json = content_type(request) == "application/json"
    fields = studio.asking.extension if as_json else studio.asking.extension_form
    given, initial_frames = await read_wish(request, fields, {"video": "video"})
    before = given.get("video[id]") or given.get("video", {}).get("id")
    if (before is None) == (initial_frames is None):
        raise Problem(400, "video must be a file, or the id of a finished video, and not both", "video", "missing")
    if initial_frames is None:
        initial_frames = await end_of(request, before)
    job = await studio.engine.submit(wish_of(given, studio.info, initial_frames), owner_of(request))
    return JSONResponse(video_object(job, studio.info))


async def not_possible(request: Request) -> Response:
    """What OpenAI's client can ask for and no model here can do: it says so, rather than that the address is wrong."""
    message = (
        "this server continues videos and makes new ones; it does not remix or edit one, and knows no characters. Ask "
        "for a new video with the same seed and another prompt, or for an extension"
    )
    raise Problem(400, message, code="not_supported")


async def end_of(request: Request, id: str) -> InitialFrames:
    return await studio_of(request).engine.continue_job(finished(job_of(request, id)).id)


async def listing(request: Request) -> Response:
    studio, asked = studio_of(request), query_of(request, LISTING)
    jobs = studio.engine.jobs()  # newest first
    if asked.get("order") == "asc":
        jobs = jobs[::-1]
    if "after" in asked:
        ids = [PREFIX + job.id for job in jobs]
        if asked["after"] not in ids:
            raise Problem(404, "there is no video with the id in after, or none any more", "after", "gone")
        jobs = jobs[ids.index(asked["after"]) + 1 :]
    page = [video_object(job, studio.info) for job in jobs[: asked.get("limit", 20)]]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return JSONResponse({"object": "list", "data": page, **ends, "has_more": len(jobs) > len(page)})


async def retrieve(request: Request) -> Response:
    query_of(request)
    return JSONResponse(video_object(job_of(request, request.path_params["id"]), studio_of(request).info))


async def delete(request: Request) -> Response:
    """Of one that is being made too: then it is made no further."""
    query_of(request)
    job = job_of(request, request.path_params["id"])
    await studio_of(request).engine.delete(job.id)
    return JSONResponse({"id": PREFIX + job.id, "object": "video.deleted", "deleted": True})


async def content(request: Request) -> Response:
    query_of(request, CONTENT)
    job = finished(job_of(request, request.path_params["id"]))
    return Film(job.content(), f"{PREFIX}{job.id}.mp4", request)


def job_of(request: Request, id: str) -> "VideoJob":
    if not id.startswith(PREFIX):
        raise Problem(404, "there is no video of that id, or none any more", code="gone")
    return studio_of(request).engine.job(id.removeprefix(PREFIX))


def finished(job: "VideoJob") -> "VideoJob":
    if job.status == "failed":
        raise Problem(409, f"the video has failed: {job.error}", code="failed")
    if job.status != "completed":
        raise Problem(409, f"the video is not finished: {job.status}, {job.progress} %", code="not_finished")
    return job


def video_object(job: "VideoJob", info: ModelInfo) -> dict[str, Any]:
    """A job as clients see it."""
    failure = None if job.error is None else {"code": "generation_failed", "message": job.error}
    return {
        "id": PREFIX + job.id,
        "object": "video",
        "status": job.status,
        "progress": round(job.progress),
        "model": info.name,
        "prompt": job.params.prompt,
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
