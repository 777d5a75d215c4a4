"""An index as figures for programs, and as a few lines for people."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from videogen.data.index.clip_index import Index, IndexedClip, RefusedClip
from videogen.data.index.jsonl import place_of
from videogen.data.sources.find import root_of
from videogen.data.window import duration, frames_between

NOTES = {
    "one_frame_fewer": "one frame fewer than the header promises (used as they are)",
    "transparent": "transparent pixels (composed onto black)",
}
SHOWN = 6  # sizes, rates and examples that are listed


def summarize(index: Index) -> dict[str, Any]:
    """Counts over the clips, the most frequent first.

    In `files` a video of several clips counts once, and one that was refused without being read counts too.
    """
    lengths = [_length(clip) for clip in index.good]
    entries = [clip.entry for clip in index.good]
    return {
        "data": str(index.data),
        "index": str(index.path),
        "files": len({place_of(entry.source, root_of(index.data)) for entry in index.entries}),
        "clips": len(index.good) + len(index.refused),
        "good": len(index.good),
        "refused": len(index.refused),
        "frames": sum(frames for frames, _ in lengths),
        "hours": round(sum(seconds for _, seconds in lengths) / 3600, 6),
        "without_caption": sum(not entry.caption for entry in entries),
        "sizes": _counted(f"{clip.scan.width}x{clip.scan.height}" for clip in index.good),
        "frame_rates": _counted(f"{clip.scan.fps:.4g}" for clip in index.good),
        "codecs": _counted(f"{clip.scan.container}/{clip.scan.codec}" for clip in index.good),
        "backends": _counted(clip.backend for clip in index.good),
        "damage": _damage(index.refused),
        "one_frame_fewer": _noted(clip.entry.key for clip in index.good if clip.scan.missing_frames),
        "transparent": _noted(clip.entry.key for clip in index.good if clip.scan.transparent_frames),
    }


def describe(summary: Mapping[str, Any]) -> str:
    """The summary as lines for people, with the `changed` list of `check_files` if it has one."""
    lines = [
        f"{summary['data']}: {summary['good']} good clips, {summary['refused']} refused, in {summary['files']} files",
        f"  {_span(summary['hours'] * 3600)}, {summary['frames']} frames",
    ]
    names = {"sizes": "sizes", "frame_rates": "frames/s", "codecs": "codecs", "backends": "read with"}
    lines += [f"  {shown:9} {_several(summary[name])}" for name, shown in names.items() if summary[name]]
    if summary["without_caption"]:
        lines.append(f"  {summary['without_caption']} clips have no caption")
    for name, what in NOTES.items():
        if noted := summary[name]:
            lines.append(f"  {noted['count']} with {what}, such as {noted['example']}")
    for kind, damage in summary["damage"].items():
        lines.append(f"  {kind}: {damage['count']}, such as {damage['example']}: {damage['detail']}")
    changed = summary.get("changed", [])
    for change in changed[:SHOWN]:
        lines.append(f"  {change['kind']} since it was indexed: {change['key']}: {change['detail']}")
    if len(changed) > SHOWN:
        lines.append(f"  and {len(changed) - SHOWN} more changes")
    if changed:
        lines.append(f"  run `videogen data index {summary['data']}` again")
    lines.append(f"  index     {summary['index']}")
    return "\n".join(map(printable, lines))


def printable(text: str) -> str:
    """The text on one line, with control characters and bytes that are not text escaped."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _length(clip: IndexedClip) -> tuple[int, float]:
    """Frames and seconds within the clip's window."""
    seconds = clip.scan.seconds
    frames = frames_between(seconds, clip.entry.start, clip.entry.end)
    return len(frames), duration(seconds) * len(frames) / len(seconds)


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _damage(refused: Iterable[RefusedClip]) -> dict[str, dict[str, Any]]:
    refused = list(refused)
    first = {each.kind: each for each in reversed(refused)}
    counts = _counted(each.kind for each in refused)
    return {
        kind: {"count": count, "example": first[kind].key, "path": first[kind].path, "detail": first[kind].detail}
        for kind, count in counts.items()
    }


def _noted(keys: Iterable[str]) -> dict[str, Any] | None:
    """Their number and the first of them; None if there are none."""
    listed = list(keys)
    return {"count": len(listed), "example": listed[0]} if listed else None


def _several(counts: Mapping[str, int]) -> str:
    shown = [f"{name} ({count})" for name, count in list(counts.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
