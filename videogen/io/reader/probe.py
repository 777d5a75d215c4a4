"""A scan from packets alone, with only the first frame decoded: for a caller who needs the end of a long video.

A full scan decodes every frame, which takes minutes for a long or large video. The container is checked as strictly
here (its structure, the times and the number of its packets), but damage inside a packet shows only when it is decoded.
"""

from typing import TYPE_CHECKING

from videogen.io.reader.container import OpenVideo, open_checked, open_video, translate_errors
from videogen.io.reader.packets import HIDDEN_FRAMES, PacketCounter
from videogen.io.reader.scan import Scan, scan
from videogen.io.reader.strict import check_length, quarter_turns, time_of
from videogen.io.source import ReadLimits, Source

if TYPE_CHECKING:
    from av import VideoFrame


def probe(source: Source, limits: ReadLimits = ReadLimits()) -> Scan:  # noqa: B008 - frozen
    """A Scan without hashes, for `read` and `read_along`; a full scan where packets do not say enough."""
    with open_checked(source, limits) as video, translate_errors(video.name):
        first, listed = next(video.container.decode(video.stream), None), video.listed_frames
    if first is None or not packets_are_frames(video, first):
        return scan(source, limits)
    with open_video(source, limits) as video, translate_errors(video.name):
        video.listed_frames = listed
        found = scan_packets(video, first, limits)
    return scan(source, limits) if found is None else found


def packets_are_frames(video: OpenVideo, first: "VideoFrame") -> bool:
    """Whether each packet is one shown frame without alpha."""
    alpha = any(component.is_alpha for component in first.format.components)
    return not alpha and video.decoder.name not in HIDDEN_FRAMES


def scan_packets(video: OpenVideo, first: "VideoFrame", limits: ReadLimits) -> Scan | None:
    """The scan, or None if packets have no times, or times that do not fit the first frame."""
    counter = PacketCounter()
    times: list[int | None] = []
    keys = set()
    for packet in counter.packets(video):
        if packet.size and not packet.is_discard:
            times.append(packet.pts)
            check_length(len(times), limits, video.name)
            if packet.is_keyframe:
                keys.add(packet.pts)
    pts = sorted(time for time in set(times) if time is not None)
    if len(pts) != len(times) or not pts or pts[0] != time_of(first):
        return None
    counter.check_ends(video, len(pts))
    turns = quarter_turns(first)
    width, height = (first.height, first.width) if turns % 2 else (first.width, first.height)
    return Scan(
        container=video.container.format.name,
        codec=video.decoder.name,
        pixel_format=first.format.name,
        width=width,
        height=height,
        rotation=90 * turns,
        time_base=(video.time_base.numerator, video.time_base.denominator),
        pts=tuple(pts),
        keyframes=tuple(number for number, time in enumerate(pts) if time in keys),
        hashes=(),
        missing_frames=video.missing_frames,
    )
