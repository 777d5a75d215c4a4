"""Which frame is on screen at a time, and how frames are scaled and cropped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videogen.io import fit, frames_at

TIMES = st.lists(st.floats(0.001, 2.0), min_size=1, max_size=30).map(lambda gaps: np.cumsum([0.0, *gaps]))


@given(TIMES, st.lists(st.floats(0, 70), min_size=1, max_size=20))
def test_the_frame_on_screen_is_the_last_one_shown(shown: np.ndarray, wanted: list[float]) -> None:
    for second, number in zip(wanted, frames_at(shown, np.array(wanted)), strict=True):
        assert number == max(n for n, time in enumerate(shown) if time <= second + 1e-6)


@given(st.integers(1, 60), st.integers(1, 200))
def test_the_own_frame_rate_changes_nothing(fps: int, count: int) -> None:
    times = np.arange(count) / fps
    assert frames_at(np.round(times, 7), times).tolist() == list(range(count))


@pytest.mark.parametrize("size", [(16, 16), (20, 40), (64, 24), (7, 9)])
def test_a_plain_picture_stays_plain(size: tuple[int, int]) -> None:
    fitted = fit(np.full((2, 48, 80, 3), 77, np.uint8), *size)
    assert fitted.shape == (2, *size, 3)
    assert (fitted == 77).all()


def test_fine_patterns_become_grey_not_noise() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    fitted = fit(np.repeat(board[None, ..., None], 3, axis=-1).astype(np.uint8), 16, 16)
    assert np.abs(fitted[:, 2:-2, 2:-2].astype(int) - 128).max() <= 4


def test_the_middle_is_kept_and_the_aspect() -> None:
    wide = np.zeros((1, 40, 120, 3), np.uint8)
    wide[:, :, 40:80] = 255  # a white square in the middle
    assert (fit(wide, 40, 40) == 255).all()
    assert (fit(wide, 20, 20)[:, 2:-2, 2:-2] == 255).all()


def test_the_right_size_is_left_alone() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    assert np.array_equal(fit(frames, 8, 10), frames)
