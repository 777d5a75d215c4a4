"""What the packets of a file add up to, against what its header promises."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videogen.io.errors import VideoError

if TYPE_CHECKING:
    import av

    from videogen.io.reader.strict import Opened

# A packet of these may hold no picture of its own: hidden reference frames, packed or skipped ones.
HIDDEN_FRAMES = ("vp8", "mpeg4", "theora", "flv1", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1")


@dataclass
class Tally:
    """What the packets of a file add up to."""

    sent: int = 0  # packets of the picture track, and those of them that are not to be shown
    hidden: int = 0
    first_second: float = float("inf")
    last_second: float = float("-inf")

    def packets(self, video: "Opened") -> Iterator["av.Packet[Any]"]:
        """All packets of the picture track, also the empty one at its end."""
        for packet in video.container.demux():
            if packet.is_corrupt:
                raise VideoError("corrupt", video.name, f"the container marks packet {self.sent} as damaged")
            if packet.dts is not None or packet.pts is not None:
                begin, end = _span_of(packet)
                self.first_second, self.last_second = min(self.first_second, begin), max(self.last_second, end)
            if packet.stream is video.stream:
                self.sent += packet.size > 0
                self.hidden += packet.size > 0 and packet.is_discard
                yield packet

    def check_ends(self, video: "Opened", shown: int) -> None:
        """VideoError if these are not the frames and seconds that the header promises; notes the one that may miss."""
        name, sent, codec = video.name, self.sent, video.stream.codec_context.name
        if shown == 0:
            raise VideoError("empty", name, "holds no frame")
        if video.promised_frames and sent != video.promised_frames:
            if not sent == video.listed_frames == video.promised_frames - 1:
                promise = f"{video.promised_frames} frames that its header promises"
                raise VideoError("truncated", name, f"{sent} of the {promise}")
            video.missing_frames = 1
        if video.container.format.name == "gif" and video.listed_frames is not None:
            sent = video.listed_frames  # a comment that comes last is a packet of its own
        if codec not in HIDDEN_FRAMES and shown + self.hidden != sent:
            raise VideoError("corrupt", name, f"{sent - self.hidden - shown} of {sent} packets gave no frame")
        seconds = max(0.0, self.last_second - self.first_second)
        slack = max(0.25, 1.5 * seconds / shown)
        if video.promised_seconds is not None and seconds < video.promised_seconds - slack:
            promise = f"{video.promised_seconds:.2f} s that its header promises"
            raise VideoError("truncated", name, f"{seconds:.2f} of the {promise}")


def _span_of(packet: "av.Packet[Any]") -> tuple[float, float]:
    begin = (packet.pts if packet.pts is not None else packet.dts) or 0
    unit = float(packet.time_base or 0)
    return begin * unit, (begin + (packet.duration or 0)) * unit
