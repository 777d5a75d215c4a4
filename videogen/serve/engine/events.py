"""What the viewers of a preview are told of a stream, besides its pictures and masks."""

from typing import TYPE_CHECKING, Any, NamedTuple

from videogen.serve.engine.fanout import PreviewEvent

if TYPE_CHECKING:
    from videogen.serve.engine.stream import Stream


class Mark(NamedTuple):
    """Where a prompt begins to count."""

    picture: int
    prompt: str
    cut_short: bool  # its end is more than the model reads

    def told(self, fps: float) -> dict[str, Any]:
        return {**self._asdict(), "seconds": self.picture / fps}


def mark(stream: "Stream", mark: Mark) -> PreviewEvent:
    return PreviewEvent("mark", mark.picture, None, mark.told(stream.shared.info.fps))


def turn(stream: "Stream") -> PreviewEvent:
    """Whether it has the model's turns, or its place in the queue for them."""
    return PreviewEvent("turn", stream.pictures, None, {"status": stream.status, "queue_place": stream.queue_position})


def figures(stream: "Stream") -> PreviewEvent:
    return PreviewEvent("figures", stream.pictures, None, stream.figures)


def end(stream: "Stream") -> PreviewEvent:
    return PreviewEvent("end", stream.pictures, None, {"status": stream.ended, "error": stream.error})
