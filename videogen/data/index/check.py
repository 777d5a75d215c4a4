"""Compare a set on disk with its index, and draw a contact sheet of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videogen.data.index.build import OnProgress, cores
from videogen.data.index.clip_index import Index, IndexedClip
from videogen.data.index.jsonl import FileRecord, Stamp, source_at
from videogen.data.index.probe import ProbeTask, prober, record_of, stamp_of, stamps_of, timeout
from videogen.data.sources.entry import ReadFailure
from videogen.data.sources.find import find_entries, root_of
from videogen.data.window import frames_between
from videogen.errors import DataError
from videogen.executors.local import LocalExecutor
from videogen.io import VideoError, path_of, read
from videogen.storage import Location, ObjectStat, RemotePath

if TYPE_CHECKING:
    from PIL.Image import Image

FileChange = dict[str, str]  # key, kind, detail
SHEET_HEIGHT = 128
NAMED = 3  # how many files an error names


def check_files(index: Index, full: bool = False, on_progress: OnProgress | None = None) -> list[FileChange]:
    """All that differs from the index: videos, captions, entries.

    Sizes and times of change are compared; `full` decodes every good file again and compares every frame.
    """
    changes = _changed_entries(index)
    tasks: dict[str, ProbeTask] = {}
    sources = [source_at(record.place, root_of(index.data)) for record in index.files]
    stamps = stamps_of(map(path_of, sources), _listed(index))
    for record, source in zip(index.files, sources, strict=True):
        stamp = stamps[path_of(source)]
        if failure := _since(record.stamp, stamp):
            changes.append(_change(record, failure))
        elif isinstance(stamp, Stamp) and record.scan is not None:
            tasks[record.place] = ProbeTask(record.place, source, stamp)
    changes += _changed_frames(index, list(tasks.values()), on_progress) if full else []
    return sorted(changes, key=lambda change: (change["key"], change["kind"]))


def refuse_changed(index: Index) -> None:
    """DataError if videos of good clips are missing or have changed; none of them is read."""
    indexed = {path_of(clip.entry.source): clip.stamp for clip in index.good}
    now = stamps_of(indexed, _listed(index))
    changed = [f"{path}: {failure.detail}" for path, stamp in indexed.items() if (failure := _since(stamp, now[path]))]
    if changed:
        more = f"; and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        raise DataError(
            f"{index.data}: {len(changed)} of {len(indexed)} videos are not as they were indexed "
            f"({'; '.join(changed[:NAMED])}{more}); put them back, or run `videogen data index {index.data}` again"
        )


def refuse_changed_clip(clip: IndexedClip) -> None:
    """VideoError if the file of a clip is not as it was indexed; a remote one is checked whenever bytes of it come."""
    path = path_of(clip.entry.source)
    if isinstance(path, RemotePath):
        return
    stamp = stamp_of(path)
    if isinstance(stamp, ReadFailure):
        raise VideoError(stamp.kind, str(path), f"{stamp.detail}, though it was indexed")
    if stamp != clip.stamp:
        raise VideoError("changed", str(path), "it is not the file that was indexed; index the set again")


def draw_sheet(index: Index, clips: int, columns: int = 8) -> Image:
    """A contact sheet of `clips` clips, evenly spread over the set: one row each, the caption below."""
    from videogen.io.contact_sheet import contact_sheet

    if not index.good:
        raise DataError(f"{index.data}: has no clip that can be drawn; all {len(index.refused)} were refused")
    places = np.unique(np.linspace(0, len(index.good) - 1, min(clips, len(index.good))).round().astype(int))
    chosen = [index.good[place] for place in places]
    return contact_sheet([_preview(clip, columns) for clip in chosen], [clip.entry.caption for clip in chosen], columns)


def _listed(index: Index) -> dict[Location, ObjectStat | None]:
    """What a remote folder says of the objects in it; nothing for other sets."""
    data = index.data
    inside = data.files() if isinstance(data, RemotePath) and root_of(data) == data else ()
    return {path: path.known for path in inside}


def _since(then: Stamp | None, now: Stamp | ReadFailure) -> ReadFailure | None:
    """How a file has changed since it was indexed; None for one that could not be opened then either."""
    if isinstance(now, ReadFailure):
        return None if then is None else now
    return None if now == then else ReadFailure("changed", "size, or time of change or version, differ")


def _changed_entries(index: Index) -> list[FileChange]:
    then = {entry.key: entry for entry in index.entries}
    now = {entry.key: entry for entry in find_entries(index.data)}
    changes = [{"key": key, "kind": "new", "detail": "not in the index"} for key in now.keys() - then.keys()]
    changes += [{"key": key, "kind": "removed", "detail": "only in the index"} for key in then.keys() - now.keys()]
    for key in now.keys() & then.keys():
        if now[key] != then[key]:
            changes.append(
                {"key": key, "kind": "changed", "detail": "its caption, its window or its place in an archive"}
            )
    return changes


def _changed_frames(index: Index, tasks: list[ProbeTask], on_progress: OnProgress | None) -> list[FileChange]:
    known = {record.place: record for record in index.files}
    changes = []
    results = LocalExecutor(cores()).run_each(prober(index.limits), tasks, timeout)
    for done, (number, result) in enumerate(results, 1):
        record = record_of(tasks[number], result)
        if record.failure is not None:
            changes.append(_change(record, record.failure))
        elif record.scan != known[record.place].scan:
            changes.append(_change(record, ReadFailure("changed", "its frames are not those that were indexed")))
        if on_progress:
            on_progress(done, len(tasks))
    return changes


def _change(record: FileRecord, failure: ReadFailure) -> FileChange:
    path, *span = json.loads(record.place)
    return {"key": f"{path}/{span[-1]}" if span else path, "kind": failure.kind, "detail": failure.detail}


def _preview(clip: IndexedClip, columns: int) -> NDArray[np.uint8]:
    """At most `columns` frames of the clip's window, evenly spaced, scaled down for the sheet."""
    within = frames_between(clip.scan.seconds, clip.entry.start, clip.entry.end)
    numbers = np.unique(np.linspace(within.start, within.stop - 1, columns).round().astype(int))
    height = min(clip.scan.height, SHEET_HEIGHT)
    width = max(1, round(clip.scan.width * height / clip.scan.height))
    return read(clip.entry.source, numbers.tolist(), clip.scan, clip.backend, (height, width))
