"""Which finished streams and jobs are dropped, and which unwatched stream is stopped for a new one."""

from collections import Counter
from collections.abc import Iterable, Sequence

from videogen.serve.engine.stream import Stream
from videogen.serve.engine.video_job import VideoJob
from videogen.serve.limits import ServerLimits


def streams_to_evict(streams: Iterable[Stream], limits: ServerLimits) -> list[Stream]:
    """The oldest finished streams beyond the limit."""
    ended = sorted((stream for stream in streams if stream.ended is not None), key=lambda stream: stream.ended_at)
    return ended[: max(0, len(ended) - limits.kept_streams)]


def jobs_to_evict(jobs: Iterable[VideoJob], limits: ServerLimits) -> list[VideoJob]:
    """The oldest finished jobs beyond the limits of their number and of their files' size."""
    ended = sorted((job for job in jobs if job.stream.ended is not None), key=lambda job: job.stream.ended_at)
    count, size, evicted = len(ended), sum(job.size for job in ended), list[VideoJob]()
    for job in ended:
        if count <= limits.kept_videos and size <= limits.kept_bytes:
            break
        evicted.append(job)
        count, size = count - 1, size - job.size
    return evicted


def stream_to_stop(streams: Sequence[Stream], newcomer: str, limits: ServerLimits, now: float) -> Stream | None:
    """The unwatched stream that makes room for a new one of owner `newcomer`, or None.

    It has been unwatched for a while, or its owner has more streams than the newcomer would have.
    """
    held = Counter(stream.owner for stream in streams)
    unwatched = [stream for stream in streams if stream.live and stream.unwatched_since is not None]
    spare = [
        stream
        for stream in unwatched
        if now - (stream.unwatched_since or 0.0) >= limits.spare_seconds or held[stream.owner] > held[newcomer] + 1
    ]
    return max(spare, key=lambda stream: (held[stream.owner], -(stream.unwatched_since or 0.0)), default=None)
