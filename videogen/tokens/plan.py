"""Which clips of an index are encoded, from which frame on, and how many pictures each one gives."""

import hashlib
from dataclasses import dataclass

from videogen.data.index.build import Index, IndexedClip
from videogen.data.index.jsonl import as_line
from videogen.data.window import Times, duration, frames_between, possible_starts
from videogen.tokens.description import Cut


@dataclass(frozen=True)
class PlannedClip:
    """A clip from frame `first` of its video on: `pictures` of them, at the rate of the cut."""

    clip: IndexedClip
    first: int
    pictures: int


def plan(index: Index, cut: Cut) -> tuple[tuple[PlannedClip, ...], tuple[str, ...]]:
    """The usable clips in the order of the index, whole; and the keys of those whose window shows no picture."""
    planned, empty = [], []
    for clip in index.good:
        seconds, entry = clip.scan.seconds, clip.entry
        pictures = picture_count(seconds, cut.fps, entry.start, entry.end, cut.frames)
        if pictures:
            planned.append(PlannedClip(clip, frames_between(seconds, entry.start, None).start, pictures))
        else:
            empty.append(entry.key)
    return tuple(planned), tuple(empty)


def picture_count(seconds: Times, fps: float, start: float | None, end: float | None, most: int | None = None) -> int:
    """How many pictures at `fps` the window holds from its first frame on, at most `most`: the longest clip there."""
    first = frames_between(seconds, start, None).start

    def fits(pictures: int) -> bool:
        return first in possible_starts(seconds, pictures, fps, start, end)

    if first == len(seconds):
        return 0
    if most is not None and fits(most):
        return most
    until = duration(seconds) if end is None else min(end, duration(seconds))
    count = max(1, round((until - float(seconds[first])) * fps))  # nearly always right; borders are rounded
    while fits(count + 1):
        count += 1
    while count and not fits(count):
        count -= 1
    return count


def data_fingerprint(index: Index) -> str:
    """Of all that decides which pictures and captions the usable clips give; not of where they lie."""
    digest = hashlib.sha256()
    for clip in index.good:
        entry, scan = clip.entry, clip.scan
        known = [entry.key, entry.caption, entry.start, entry.end, scan.time_base, scan.pts, scan.hashes]
        digest.update(as_line(known).encode())
    return digest.hexdigest()
