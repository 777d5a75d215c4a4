"""Read every file of a training set once, strictly, and record what it holds or why it is refused.

The index is `videogen-index.jsonl` in the folder of the data, or a file beside the manifest or archive. Its bytes
depend on the files alone, not on the number of processes or on interruptions.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from videogen.data.index.clip_index import Index, IndexedClip, RefusedClip
from videogen.data.index.index_file import OPENING, header_of, read_index, sync_folder, write_index
from videogen.data.index.journal import open_journal
from videogen.data.index.jsonl import FileRecord, pinned, place_of
from videogen.data.index.probe import (
    TRANSIENT,
    UNREACHABLE,
    ProbeTask,
    prober,
    record_of,
    size_of,
    stamps_of,
    timeout,
)
from videogen.data.sources.entry import Entry, ReadFailure
from videogen.data.sources.find import default_index, find_entries, refuse_other_forms, root_of
from videogen.data.window import duration
from videogen.errors import DataError, StorageError
from videogen.executors.base import Executor
from videogen.executors.local import LocalExecutor
from videogen.io import ReadLimits, Source, Span, path_of
from videogen.storage import Location, RemotePath, location

OnProgress = Callable[[int, int], None]


def build_index(
    data: Location,
    out: Path | None = None,
    workers: int | None = None,
    limits: ReadLimits = ReadLimits(),  # noqa: B008 - frozen
    on_progress: OnProgress | None = None,
    executor: Executor | None = None,
) -> Index:
    """Index the set at `data`, a path or a URL, into the file `out`.

    It is read by `workers` processes (one a core by default), or by an `executor`.

    Files that have not changed since an earlier run, finished or killed, are not read again.
    """
    data = location(data)
    entries = find_entries(data)
    path = _default_target(data) if out is None else Path(out)
    _check_target(path)
    header = header_of(data, path, limits)
    journal_path = path.with_name(path.name + ".journal")
    sources = {place_of(entry.source, root_of(data)): entry.source for entry in entries if entry.failure is None}
    try:
        with open_journal(journal_path, header) as journal:
            known = {**_earlier(path, data, header), **journal.records}
            records, tasks = _plan(sources, known)
            executor = executor or LocalExecutor(workers or cores())
            executor.check(dict.fromkeys(path_of(task.source).parent for task in tasks))
            for record in _run(tasks, executor, limits, len(sources), on_progress):
                journal.append(record)
                records[record.place] = record
            write_index(path, header, records.values(), entries, root_of(data))
            journal_path.unlink()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise DataError(
            f"{error.filename}: {error.strerror}; choose another place for the index (--out FILE)"
        ) from None
    sync_folder(path.parent)
    return _assemble(data, path, limits, records, entries)


def load_index(data: Location, path: Path | None = None) -> Index:
    """The index of `data` as `build_index` returned it; neither videos nor captions are read."""
    data = location(data)
    path = default_index(data) if path is None else Path(path)
    if isinstance(data, Path) and not data.exists():
        raise DataError(f"{data}: no such file or folder")
    if not path.is_file():
        refuse_other_forms(data)
        where = "" if path == default_index(data) else f" --out {path}"
        raise DataError(f"{path}: no index there; make it with `videogen data index {data}{where}`")
    header, records, entries = read_index(path, data)
    return _assemble(data, path, ReadLimits(**header["limits"]), records, entries)


def cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_target(data: Location) -> Path:
    path = default_index(data)
    if isinstance(data, RemotePath):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _check_target(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the index's file, such as {path / 'index.jsonl'}")
    if not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder; the index cannot be written there")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(OPENING)) != OPENING:
                raise DataError(f"{path}: is not an index; it is not overwritten")


def _earlier(path: Path, data: Location, header: dict[str, Any]) -> dict[str, FileRecord]:
    """The records of a finished run, if it had the same limits and decoders."""
    try:
        earlier, records, _ = read_index(path, data)
    except (DataError, FileNotFoundError):
        return {}
    return records if earlier == header else {}


def _plan(
    sources: Mapping[str, Source], known: Mapping[str, FileRecord]
) -> tuple[dict[str, FileRecord], list[ProbeTask]]:
    """Records of files that need not be read, and tasks for the others, the largest first."""
    paths = [path_of(source) for source in sources.values()]
    stamps = stamps_of(paths, {path: path.known for path in paths if isinstance(path, RemotePath)})
    records: dict[str, FileRecord] = {}
    tasks = []
    for place, source in sources.items():
        stamp, before = stamps[path_of(source)], known.get(place)
        if isinstance(stamp, ReadFailure):
            records[place] = FileRecord(place, None, None, None, stamp)
        elif before and before.stamp == stamp and not (before.failure and before.failure.kind in TRANSIENT):
            records[place] = before
        else:
            tasks.append(ProbeTask(place, source, stamp))
    return records, sorted(tasks, key=lambda task: (-size_of(task), task.place))


def _run(
    tasks: list[ProbeTask], executor: Executor, limits: ReadLimits, total: int, on_progress: OnProgress | None
) -> Iterable[FileRecord]:
    done = total - len(tasks)
    if on_progress:
        on_progress(done, total)
    for number, result in executor.run_each(prober(limits), tasks, timeout):
        record = record_of(tasks[number], result)
        if record.failure is not None and record.failure.kind == UNREACHABLE:
            raise StorageError(f"{record.failure.detail}; the files that were read are kept, run the command again")
        yield record
        done += 1
        if on_progress:
            on_progress(done, total)


def _assemble(
    data: Location, path: Path, limits: ReadLimits, records: Mapping[str, FileRecord], entries: tuple[Entry, ...]
) -> Index:
    root = root_of(data)
    good: list[IndexedClip] = []
    refused: list[RefusedClip] = []
    for entry in entries:
        clip = entry.failure or _indexed(entry, records[place_of(entry.source, root)])
        if isinstance(clip, ReadFailure):
            refused.append(RefusedClip(entry.key, _shown(entry.source), clip.kind, clip.detail))
        else:
            good.append(clip)
    files = tuple(records[place] for place in sorted(records))
    return Index(data, path, limits, entries, files, tuple(good), tuple(refused))


def _indexed(entry: Entry, record: FileRecord) -> IndexedClip | ReadFailure:
    if record.failure is not None:
        return record.failure
    assert record.scan, "a record without a failure has a scan"
    assert record.backend, "and a backend"
    assert record.stamp, "and a stamp"
    if entry.start is not None and entry.start > 0 and entry.start >= (until := duration(record.scan.seconds)):
        return ReadFailure("range", f"it starts at {entry.start:g} s, but the video ends at {until:.3f} s")
    pin = replace(entry, source=pinned(entry.source, record.stamp))
    return IndexedClip(pin, record.scan, record.backend, record.stamp)


def _shown(source: Source) -> str:
    return f"{source.path}: {source.name}" if isinstance(source, Span) else str(source)
