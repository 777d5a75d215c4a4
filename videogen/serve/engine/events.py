"""What viewers of a preview receive besides frames and masks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from videogen.serve.engine.fanout import PreviewEvent


class PromptMark(NamedTuple):
    """From which frame on a prompt applies."""

    frame: int
    prompt: str
    truncated: bool  # whether the model reads only its beginning

    def to_json(self, fps: float) -> dict[str, Any]:
        return {**self._asdict(), "seconds": self.frame / fps}


class ControlMark(NamedTuple):
    """From which frame on a control applies."""

    number: int  # of this change, from 0
    frame: int
    control: Any  # None: none

    def to_json(self, fps: float) -> dict[str, Any]:
        return {"frame": self.frame, "seconds": self.frame / fps, "control": self.control}


def mark_event(mark: PromptMark, fps: float) -> PreviewEvent:
    return PreviewEvent("mark", mark.frame, None, mark.to_json(fps))


def queue_event(frames: int, status: str, position: int | None) -> PreviewEvent:
    """Whether the model works on the stream, or its position in the queue."""
    return PreviewEvent("queue", frames, None, {"status": status, "queue_place": position})


def stats_event(frames: int, stats: Mapping[str, Any]) -> PreviewEvent:
    return PreviewEvent("stats", frames, None, stats)


def end_event(frames: int, status: str | None, error: str | None) -> PreviewEvent:
    return PreviewEvent("end", frames, None, {"status": status, "error": error})
