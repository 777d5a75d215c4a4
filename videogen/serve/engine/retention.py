"""Of what has ended, only so much is kept: who ended longest ago is forgotten first. And who makes room for whom."""

from collections import Counter
from collections.abc import Iterable, Sequence

from videogen.serve.engine.stream import Stream
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.limits import ServerLimits


def streams_too_many(streams: Iterable[Stream], limits: ServerLimits) -> list[Stream]:
    ended = sorted((stream for stream in streams if stream.ended is not None), key=lambda stream: stream.ended_at)
    return ended[: max(0, len(ended) - limits.kept_streams)]


def jobs_too_many(jobs: Iterable[VideoJob], limits: ServerLimits) -> list[VideoJob]:
    """They are too many, or their videos take too much room."""
    ended = sorted((job for job in jobs if job.stream.ended is not None), key=lambda job: job.stream.ended_at)
    count, size, found = len(ended), sum(job.size for job in ended), list[VideoJob]()
    for job in ended:
        if count <= limits.kept_videos and size <= limits.kept_bytes:
            break
        found.append(job)
        count, size = count - 1, size - job.size
    return found


def one_to_make_room(open_ones: Sequence[Stream], newcomer: str, limits: ServerLimits, instant: float) -> Stream | None:
    """Which stream nobody watches is ended, so that somebody else can begin; None: there is none.

    It has not been watched for a while, or belongs to somebody who has more places than the newcomer would have.
    """
    held = Counter(one.owner for one in open_ones)
    unwatched = [one for one in open_ones if one.live and one.unwatched_since is not None]
    spare = [
        one
        for one in unwatched
        if instant - (one.unwatched_since or 0.0) >= limits.spare_seconds or held[one.owner] > held[newcomer] + 1
    ]
    return max(spare, key=lambda one: (held[one.owner], -(one.unwatched_since or 0.0)), default=None)
