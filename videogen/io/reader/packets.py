"""Packets counted as they are read, and compared with what the header promises."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videogen.io.errors import VideoError
from videogen.io.reader.container import OpenVideo

if TYPE_CHECKING:
    import av

# Packets of these codecs may show no frame: they can be hidden reference frames, packed or skipped ones.
HIDDEN_FRAMES = ("vp8", "mpeg4", "theora", "flv1", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1")


@dataclass
class PacketCounter:
    """How many packets a file has, and which time they span."""

    sent: int = 0  # packets of the video track; `hidden` of them are not shown
    hidden: int = 0
    first_second: float = float("inf")
    last_second: float = float("-inf")

    def packets(self, video: OpenVideo) -> Iterator["av.Packet[Any]"]:
        """All packets of the video track, with the empty one at its end."""
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

    def check_ends(self, video: OpenVideo, shown: int) -> None:
        """VideoError if frames or seconds differ from the header; records the one frame that may be missing."""
        name, sent, codec = video.name, self.sent, video.stream.codec_context.name
        if shown == 0:
            raise VideoError("empty", name, "holds no frame")
        if video.promised_frames and sent != video.promised_frames:
            if not sent == video.listed_frames == video.promised_frames - 1:
                promise = f"{video.promised_frames} frames that its header promises"
                raise VideoError("truncated", name, f"{sent} of the {promise}")
            video.missing_frames = 1
        if video.container.format.name == "gif" and video.listed_frames is not None:
            sent = video.listed_frames  # a comment at the end is a packet of its own
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
