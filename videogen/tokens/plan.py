"""Which clips of an index are encoded, from which frame on, and how many frames of each."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from videogen.data.index.clip_index import Index, IndexedClip
from videogen.data.index.jsonl import json_line
from videogen.data.window import Times, duration, frames_between, possible_starts
from videogen.tokens.description import EncodeSpec


@dataclass(frozen=True)
class PlannedClip:
    """A clip of `frames` frames at the rate of the encoding, from frame `first` of its video on."""

    clip: IndexedClip
    first: int
    frames: int
    control_sha256: str | None = None  # of its control file


def plan(index: Index, spec: EncodeSpec) -> tuple[tuple[PlannedClip, ...], tuple[str, ...]]:
    """The usable clips in the order of the index, whole; and the keys of those whose window holds no frame."""
    planned, empty = [], []
    for clip in index.good:
        seconds, entry = clip.scan.seconds, clip.entry
        frames = frame_count(seconds, spec.fps, entry.start, entry.end, spec.frames)
        if frames:
            planned.append(PlannedClip(clip, frames_between(seconds, entry.start, None).start, frames))
        else:
            empty.append(entry.key)
    return tuple(planned), tuple(empty)


def frame_count(seconds: Times, fps: float, start: float | None, end: float | None, most: int | None = None) -> int:
    """How many frames at `fps` the longest clip in the window has, from its first frame on; at most `most`."""
    first = frames_between(seconds, start, None).start

    def fits(frames: int) -> bool:
        return first in possible_starts(seconds, frames, fps, start, end)

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


def data_fingerprint(index: Index, clips: Iterable[PlannedClip] = ()) -> str:
    """A hash of all that decides the frames, captions and controls of the usable clips; not of their paths."""
    digest = hashlib.sha256()
    for clip in index.good:
        entry, scan = clip.entry, clip.scan
        known = [entry.key, entry.caption, entry.start, entry.end, scan.time_base, scan.pts, scan.hashes]
        digest.update(json_line(known).encode())
    for planned in clips:
        digest.update((planned.control_sha256 or "").encode())
    return digest.hexdigest()
