"""Of what has ended, only so much is kept: who ended longest ago is forgotten first."""

from collections.abc import Iterable

from videogen.serve.limits import Limits
from videogen.serve.session import Job, Stream


def streams_too_many(streams: Iterable[Stream], limits: Limits) -> list[Stream]:
    ended = sorted((stream for stream in streams if stream.ended is not None), key=lambda stream: stream.ended_at)
    return ended[: max(0, len(ended) - limits.kept_streams)]


def jobs_too_many(jobs: Iterable[Job], limits: Limits) -> list[Job]:
    """They are too many, or their videos take too much room."""
    ended = sorted((job for job in jobs if job.stream.ended is not None), key=lambda job: job.stream.ended_at)
    count, size, found = len(ended), sum(job.size for job in ended), list[Job]()
    for job in ended:
        if count <= limits.kept_videos and size <= limits.kept_bytes:
            break
        found.append(job)
        count, size = count - 1, size - job.size
    return found
