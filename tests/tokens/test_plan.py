"""A clip has as many frames as fit, by the same arithmetic as in training."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from videogen.data.window import frame_numbers, frames_between, possible_starts
from videogen.tokens.plan import frame_count

steps = st.lists(st.integers(1, 200), min_size=0, max_size=30)
seconds_or_none = st.none() | st.floats(0, 4)


@given(steps, st.floats(0.5, 60), st.floats(0, 4), seconds_or_none, st.none() | st.integers(1, 40))
def test_the_longest_clip_that_fits(
    steps: list[int], fps: float, start: float, length: float | None, most: int | None
) -> None:
    seconds = np.cumsum([0, *steps]) / 100
    end = None if length is None else start + length
    count = frame_count(seconds, fps, start, end, most)
    first = frames_between(seconds, start, None).start
    if count:
        assert first in possible_starts(seconds, count, fps, start, end)
        numbers = frame_numbers(seconds, first, count, fps)
        assert numbers[0] == first
        assert numbers[-1] < len(seconds)
    if count != most:
        assert first not in possible_starts(seconds, count + 1, fps, start, end)


def test_constant_rates_give_every_frame() -> None:
    for fps in (8, 24, 25, 30, 30000 / 1001, 60):
        for frames in (1, 2, 9, 100, 301):
            rounded = np.round(np.arange(frames) / fps * 1000) / 1000  # as some containers hold them
            assert frame_count(rounded, fps, None, None) == frames
            assert list(frame_numbers(rounded, 0, frames, fps)) == list(range(frames))
