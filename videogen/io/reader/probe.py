"""What the packets of a file say of its frames, none of which is decoded but the first: for who needs its end alone.

A scan proves every frame; of a long or large video that costs minutes. Here the container is checked as strictly (its
bookkeeping, the times and the number of its packets), but damage inside of packets shows only where they are decoded.
"""

from typing import TYPE_CHECKING

from videogen.io.reader.scan import Scan, scan
from videogen.io.source import Limits, Source

if TYPE_CHECKING:
    from av import VideoFrame

    from videogen.io.reader.strict import Opened


def probe(source: Source, limits: Limits = Limits()) -> Scan:  # noqa: B008 - frozen
    """A Scan without hashes, as `read` and `read_along` take it; the whole scan where packets do not say enough."""
    from videogen.io.reader.strict import opened, opened_whole, translated

    with opened_whole(source, limits) as video, translated(video.name):
        first, listed = next(video.container.decode(video.stream), None), video.listed_frames
    if first is None or not packets_are_frames(video, first):
        return scan(source, limits)
    with opened(source, limits) as video, translated(video.name):
        video.listed_frames = listed
        told = from_packets(video, first, limits)
    return scan(source, limits) if told is None else told


def packets_are_frames(video: "Opened", first: "VideoFrame") -> bool:
    """Whether each packet is one shown frame, and frames need not be seen to know what becomes of them."""
    from videogen.io.reader.tally import HIDDEN_FRAMES

    alpha = any(component.is_alpha for component in first.format.components)
    return not alpha and video.decoder.name not in HIDDEN_FRAMES


def from_packets(video: "Opened", first: "VideoFrame", limits: Limits) -> Scan | None:
    """The scan, or None if packets have no times of their own, or none that fit the first frame."""
    from videogen.io.reader.strict import check_length, quarter_turns, time_of
    from videogen.io.reader.tally import Tally

    tally = Tally()
    times: list[int | None] = []
    keys = set()
    for packet in tally.packets(video):
        if packet.size and not packet.is_discard:
            times.append(packet.pts)
            check_length(len(times), limits, video.name)
            if packet.is_keyframe:
                keys.add(packet.pts)
    pts = sorted(time for time in set(times) if time is not None)
    if len(pts) != len(times) or not pts or pts[0] != time_of(first):
        return None
    tally.check_ends(video, len(pts))
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
