import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.quantize.base import group_radices

radices = st.lists(st.integers(2, 9), min_size=1, max_size=6)


def test_codes_are_grouped_as_evenly_as_neighbors_allow():
    assert group_radices((8, 8, 8, 5, 5, 5)) == (8, 8, 8, 5, 5, 5)
    assert group_radices((8, 8, 8, 5, 5, 5), largest=1024) == (512, 125)
    assert group_radices([2] * 18) == (4, 16, 16, 16, 16)
    assert group_radices([2] * 18, largest=1024) == (512, 512)
    assert group_radices([2] * 62) == (4, *[16] * 15)  # without an end, if the same cuts were looked at again and again
    assert group_radices((8, 5, 5, 5), largest=1024) == (1000,)
    assert group_radices((8, 5, 5, 5), largest=100) == (40, 25)
    assert group_radices((1000,)) == (1000,)
    assert group_radices((5000,)) == (5000,)  # a radix is not taken apart
    assert group_radices((5000, 2)) == (5000, 2)


@given(radices, st.integers(2, 60))
def test_grouping_keeps_the_order_the_size_and_the_limit(code, largest):
    codebooks = group_radices(code, largest)
    assert math.prod(codebooks) == math.prod(code)
    if max(code) <= largest:
        assert max(codebooks) <= largest
    ends, running = set(), 1
    for radix in code:
        running *= radix
        ends.add(running)
    running = 1
    for size in codebooks:
        running *= size
        assert running in ends  # so a packed token is the same number in both


@given(radices, st.integers(9, 60))
def test_no_other_grouping_is_shorter_or_more_even(code, largest):
    codebooks = group_radices(code, largest)
    for cuts in range(1 << (len(code) - 1)):
        other = [code[0]]
        for place, radix in enumerate(code[1:]):
            if cuts >> place & 1:
                other.append(radix)
            else:
                other[-1] *= radix
        if max(other) <= largest:
            assert (len(codebooks), max(codebooks)) <= (len(other), max(other))


@pytest.mark.parametrize("code", [(), (1, 2), (8, 0)], ids=str)
def test_radices_that_count_nothing_are_refused(code):
    with pytest.raises(ValueError, match="radices"):
        group_radices(code)
