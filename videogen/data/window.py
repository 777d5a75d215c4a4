"""Where in a video a clip may begin, and which frames it shows, computed from presentation times.

A frame is on screen from its time to that of the next frame, and the last one for the mean period. Times in files are
rounded (to milliseconds in some containers), so a clip samples its video a little after each frame has appeared, never
at the boundary, and `start` and `end` mean the nearest frame boundary.
"""

import numpy as np
from numpy.typing import NDArray

from videogen.io import frames_at

Times = NDArray[np.float64]


def duration(seconds: Times) -> float:
    """Seconds from the start of the first frame to the end of the last; 0 for a single frame, whose end is unknown."""
    return float(seconds[-1]) + _period(seconds, 0.0)


def frames_between(seconds: Times, start: float | None, end: float | None) -> range:
    """The numbers of the frames that the window [start, end) holds; without an end it goes to the last frame."""
    half = _period(seconds, 0.0) / 2
    first = int(np.searchsorted(seconds, (start or 0.0) - half))
    last = len(seconds) if end is None else int(np.searchsorted(seconds, end - half))
    return range(first, max(first, last))


def possible_starts(seconds: Times, frames: int, fps: float, start: float | None, end: float | None) -> range:
    """The frames at which a clip of `frames` frames at `fps` can begin to fit into the window; may be empty."""
    until = float(seconds[-1]) + _period(seconds, 1 / fps)
    if end is not None:
        until = min(until, end)
    fitting = int(np.searchsorted(_sample_times(seconds, fps) + (frames - 1) / fps, until))
    first = frames_between(seconds, start, None).start
    return range(first, max(first, fitting))


def frame_numbers(seconds: Times, first: int, frames: int, fps: float) -> NDArray[np.int64]:
    """The numbers of the frames [frames] that a clip beginning at frame `first` shows."""
    return frames_at(seconds, _sample_times(seconds, fps)[first] + np.arange(frames) / fps)


def _sample_times(seconds: Times, fps: float) -> Times:
    """When a clip that begins at a frame samples first: half a period after it, of the shortest period."""
    period = _period(seconds, 1 / fps)
    own = np.append(np.diff(seconds), period)
    times: Times = seconds + np.minimum(own, min(period, 1 / fps)) / 2
    return times


def _period(seconds: Times, if_single: float) -> float:
    return float(seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else if_single
