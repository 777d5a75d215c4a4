"""Index one file in a process of its own, which a damaged file may kill."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from stat import S_ISREG

from videogen.data.index.jsonl import Backend, FileRecord, Stamp, pinned
from videogen.data.sources.entry import ReadFailure
from videogen.errors import DataError
from videogen.executors.base import TIMED_OUT, Function, TaskResult
from videogen.io import ReadLimits, Scan, Source, Span, VideoError, choose_backend, path_of, scan
from videogen.storage import Location, MissingObjectError, ObjectStat, RemotePath

UNREACHABLE = "unreachable"  # the server does not answer: indexing stops, and goes on in the next run
TRANSIENT = frozenset({"crashed", "hung", "internal", UNREACHABLE})  # perhaps not the file: try again


REQUESTS = 16  # at a time, to a store of objects


@dataclass(frozen=True)
class ProbeTask:
    """A video to be indexed."""

    place: str
    source: Source
    stamp: Stamp


def stamp_of(path: Location) -> Stamp | ReadFailure:
    """Size and time of change of a regular file, or of a remote object, or why it cannot be read."""
    if isinstance(path, RemotePath):
        try:
            return _stamp(path.stat())
        except MissingObjectError:
            return ReadFailure("missing", "no such object")
    try:
        status = path.stat()
    except FileNotFoundError:
        return ReadFailure("missing", "no such file")
    except (OSError, ValueError) as error:
        return ReadFailure("missing", f"cannot be opened ({getattr(error, 'strerror', None) or error})")
    if not S_ISREG(status.st_mode):
        return ReadFailure("not-a-file", "not a regular file")
    return Stamp(status.st_size, status.st_mtime_ns)


def stamps_of(
    paths: Iterable[Location], listed: Mapping[Location, ObjectStat | None]
) -> dict[Location, Stamp | ReadFailure]:
    """The stamps of many files; of remote ones that are not `listed`, several are asked for at a time."""

    def stamp(path: Location) -> Stamp | ReadFailure:
        known = listed.get(path)
        return stamp_of(path) if known is None else _stamp(known)

    unique = list(dict.fromkeys(paths))
    if not any(isinstance(path, RemotePath) for path in unique):
        return {path: stamp_of(path) for path in unique}
    with ThreadPoolExecutor(REQUESTS) as pool:
        return dict(zip(unique, pool.map(stamp, unique), strict=True))


def _stamp(known: ObjectStat) -> Stamp:
    return Stamp(known.size, known.version)


def prober(limits: ReadLimits) -> Function:
    return partial(probe_file, limits=limits)


def timeout(task: ProbeTask) -> float:
    """Seconds after which a file counts as hung: ten minutes, and 20 for each megabyte."""
    return 600 + 2e-5 * size_of(task)


def size_of(task: ProbeTask) -> int:
    return task.source.length if isinstance(task.source, Span) else task.stamp.size


def probe_file(task: ProbeTask, limits: ReadLimits) -> Iterator[Scan | Backend | ReadFailure]:
    """Yields the scan and then the backend, because testing decord may kill the process; or a failure."""
    try:
        source = pinned(task.source, task.stamp)
        seen = scan(source, limits)
        if source is task.source and stamp_of(path_of(source)) != task.stamp:  # a pinned one is checked as it is read
            yield ReadFailure("changed", "the file changed while it was read")
            return
        yield seen
        yield choose_backend(source, seen)
    except VideoError as error:
        yield ReadFailure(error.kind, error.detail)
    except DataError as error:
        yield ReadFailure(UNREACHABLE, str(error))
    except Exception as error:  # our bug, or that of a library: it costs this file alone
        yield ReadFailure("internal", f"{type(error).__name__}: {error}")


def record_of(task: ProbeTask, result: TaskResult) -> FileRecord:
    """The record of a file after its process has finished or died."""
    seen = next((value for value in result.values if isinstance(value, Scan)), None)
    failure = next((value for value in result.values if isinstance(value, ReadFailure)), None)
    if seen is None and failure is None:
        kind = "hung" if result.died == TIMED_OUT else "crashed"
        failure = ReadFailure(kind, f"the process that read it died: {result.died}")
    if failure is not None or seen is None:
        return FileRecord(task.place, task.stamp, None, None, failure)
    agreed = len(result.values) > 1 and result.values[1] == "decord"
    return FileRecord(task.place, task.stamp, seen, "decord" if agreed else "pyav", None)
