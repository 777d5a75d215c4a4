"""A clip is within its window, keeps its rate, and tolerates the rounding of times in files."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from videogen.data.window import duration, frame_numbers, frames_between, possible_starts

RATES = st.sampled_from([5.0, 8.0, 12.5, 15.0, 24.0, 24000 / 1001, 25.0, 30000 / 1001, 30.0, 50.0, 60.0])
TICKS = st.sampled_from([1000, 600, 12_800, 90_000])  # a second; 1000 as in Matroska


def constant(rate: float, frames: int, ticks: int) -> NDArray[np.float64]:
    """Presentation times of a constant rate, rounded to the ticks of a container."""
    return np.round(np.arange(frames) / rate * ticks) / ticks


@given(rate=RATES, ticks=TICKS, length=st.integers(2, 60), frames=st.integers(1, 70))
def test_at_its_own_rate_a_clip_is_successive_frames(rate: float, ticks: int, length: int, frames: int) -> None:
    seconds = constant(rate, length, ticks)
    starts = possible_starts(seconds, frames, rate, None, None)
    assert starts == range(0, max(0, length - frames + 1))
    for first in starts:
        assert frame_numbers(seconds, first, frames, rate).tolist() == list(range(first, first + frames))


@given(rate=RATES, ticks=TICKS, length=st.integers(30, 60), cut=st.integers(1, 29))
def test_borders_mean_the_nearest_frame_boundary(rate: float, ticks: int, length: int, cut: int) -> None:
    seconds = constant(rate, length, ticks)
    border = round(cut / rate, 4)  # as a person would write it into a manifest
    assert frames_between(seconds, border, None) == range(cut, length)
    assert frames_between(seconds, None, border) == range(0, cut)
    assert possible_starts(seconds, 1, rate, None, border) == range(0, cut)
    assert possible_starts(seconds, 1, rate, border, None) == range(cut, length)


@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    frames=st.integers(1, 20),
    fps=RATES,
    borders=st.none() | st.tuples(st.floats(0, 3), st.floats(0.1, 6)),
)
def test_any_clip_of_a_variable_rate_is_what_was_on_screen(
    gaps: list[int], frames: int, fps: float, borders: tuple[float, float] | None
) -> None:
    seconds = np.concatenate([[0.0], np.cumsum(gaps)]) / 1000
    start, end = borders if borders is not None else (None, None)
    end = None if end is None or start is None else start + end
    for first in possible_starts(seconds, frames, fps, start, end):
        numbers = frame_numbers(seconds, first, frames, fps)
        assert numbers[0] == first
        assert (np.diff(numbers) >= 0).all()
        assert set(numbers) <= set(frames_between(seconds, start, None))
        spent = (frames - 1) / fps  # from the first look to the last
        assert spent < min(duration(seconds), float("inf") if end is None else end) - seconds[first] + 1e-9
        assert seconds[numbers[-1]] <= seconds[first] + spent + 0.5 / fps + 1e-9


def test_half_the_rate_takes_every_second_frame_and_twice_the_rate_repeats() -> None:
    seconds = constant(30, 31, 1000)
    assert frame_numbers(seconds, 4, 5, 15.0).tolist() == [4, 6, 8, 10, 12]
    assert frame_numbers(seconds, 4, 5, 60.0).tolist() == [4, 4, 5, 5, 6]
    assert len(possible_starts(constant(8, 17, 1000), 51, 24.0, None, None)) == 1
    assert not possible_starts(constant(8, 17, 1000), 52, 24.0, None, None)


def test_a_single_picture_is_a_clip_of_one_frame_and_of_no_more() -> None:
    seconds = np.zeros(1)
    assert possible_starts(seconds, 1, 8.0, None, None) == range(0, 1)
    assert not possible_starts(seconds, 2, 8.0, None, None)
    assert duration(seconds) == 0
