import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampling.config import Schedule
from sampling.schedule import MASKED, masked_after, scale_at

SCHEDULES = Schedule.__args__


@given(st.sampled_from(SCHEDULES), st.integers(1, 1024), st.data())
def test_every_step_reveals_at_least_one_and_the_last_all(schedule, tokens, data):
    steps = data.draw(st.integers(1, tokens))
    masked = masked_after(schedule, tokens, steps)
    assert len(masked) == steps
    assert masked[-1] == 0
    assert all(after < before for before, after in zip((tokens, *masked), masked, strict=False))


@given(st.sampled_from(SCHEDULES), st.integers(1, 300))
def test_as_many_steps_as_tokens_reveal_one_each(schedule, tokens):
    assert masked_after(schedule, tokens, tokens) == tuple(range(tokens - 1, -1, -1))


def test_counts_of_64_tokens_in_8_steps():
    """By hand, from the formulas: 64 cos(pi k / 16), 64 (1 - k / 8), 64 (2 / pi) acos(k / 8), 64 (1 - k^2 / 64)."""
    assert masked_after("cosine", 64, 8) == (63, 59, 53, 45, 36, 24, 12, 0)
    assert masked_after("linear", 64, 8) == (56, 48, 40, 32, 24, 16, 8, 0)
    assert masked_after("arccos", 64, 8) == (59, 54, 48, 43, 36, 29, 21, 0)
    assert masked_after("square", 64, 8) == (63, 60, 55, 48, 39, 28, 15, 0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_all_is_masked_at_the_start_and_nothing_at_the_end(schedule):
    assert math.isclose(MASKED[schedule](0.0), 1)
    assert math.isclose(MASKED[schedule](1.0), 0, abs_tol=1e-12)


def test_no_tokens_take_no_steps():
    assert masked_after("cosine", 0, 0) == ()


def test_more_steps_than_tokens_are_refused():
    with pytest.raises(ValueError, match="steps = 5"):
        masked_after("cosine", 4, 5)


def test_guidance_ramps_from_none_to_all():
    assert [scale_at("constant", 5.0, step, 3) for step in range(3)] == [5, 5, 5]
    assert [scale_at("linear", 5.0, step, 5) for step in range(5)] == [1, 2, 3, 4, 5]
    assert [round(scale_at("cosine", 5.0, step, 3), 12) for step in range(3)] == [1, 3, 5]
    assert [scale_at(ramp, 0.0, 0, 1) for ramp in ("constant", "linear", "cosine")] == [0, 0, 0]
