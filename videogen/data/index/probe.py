"""What indexing does to one file, in a process that the file may kill."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISREG

from videogen.data.index.jsonl import Backend, FileRecord, Stamp, path_of
from videogen.data.sources.entry import Fault
from videogen.data.workers import TOO_LONG, Ending, Task
from videogen.io import Limits, Scan, Source, Span, VideoError, choose_backend, scan

TRANSIENT = frozenset({"crashed", "hung", "internal"})  # perhaps not the file's fault: tried again by the next run


@dataclass(frozen=True)
class Job:
    place: str
    source: Source
    stamp: Stamp


def stamp_of(path: Path) -> Stamp | Fault:
    """Size and time of change of a regular file, or why it is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return Fault("missing", "no such file")
    except (OSError, ValueError) as error:
        return Fault("missing", f"cannot be looked at ({getattr(error, 'strerror', None) or error})")
    if not S_ISREG(status.st_mode):
        return Fault("not-a-file", "not a regular file")
    return Stamp(status.st_size, status.st_mtime_ns)


def task(limits: Limits) -> Task:
    return partial(examine, limits=limits)


def patience(job: Job) -> float:
    """Seconds after which a file hangs: ten minutes, and 20 for each megabyte."""
    return 600 + 2e-5 * size_of(job)


def size_of(job: Job) -> int:
    return job.source.length if isinstance(job.source, Span) else job.stamp.size


def examine(job: Job, limits: Limits) -> Iterator[Scan | Backend | Fault]:
    """Yields the scan as soon as it is there, then the backend, for proving decord may kill the process; or a fault."""
    try:
        seen = scan(job.source, limits)
        if stamp_of(path_of(job.source)) != job.stamp:
            yield Fault("changed", "the file changed while it was read")
            return
        yield seen
        yield choose_backend(job.source, seen)
    except VideoError as error:
        yield Fault(error.kind, error.detail)
    except Exception as error:  # a mistake of ours, or of a library: it costs this file and is counted
        yield Fault("internal", f"{type(error).__name__}: {error}")


def verdict(job: Job, ending: Ending) -> FileRecord:
    """What is known after the process has answered or died."""
    seen = next((value for value in ending.said if isinstance(value, Scan)), None)
    fault = next((value for value in ending.said if isinstance(value, Fault)), None)
    if seen is None and fault is None:
        kind = "hung" if ending.died == TOO_LONG else "crashed"
        fault = Fault(kind, f"the process that read it was ended: {ending.died}")
    if fault is not None or seen is None:
        return FileRecord(job.place, job.stamp, None, None, fault)
    agreed = len(ending.said) > 1 and ending.said[1] == "decord"
    return FileRecord(job.place, job.stamp, seen, "decord" if agreed else "pyav", None)
