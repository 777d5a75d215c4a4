import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prior.vocabulary import Vocabulary, grouped

radices = st.lists(st.integers(2, 9), min_size=1, max_size=6)


@pytest.mark.parametrize("digits", [(2,), (11,), (4, 3), (3, 2, 2), (512, 125), (512, 512), (5, 7, 11, 13)], ids=str)
def test_every_id_is_its_digits_and_no_others(digits):
    vocabulary = Vocabulary(digits)
    ids = torch.arange(vocabulary.size)
    written = vocabulary.to_digits(ids)
    assert written.shape == (vocabulary.size, len(digits))
    assert torch.equal(vocabulary.to_ids(written), ids)
    assert written.min() == 0
    assert torch.equal(written.amax(0), torch.tensor(digits) - 1)
    assert len(torch.unique(written, dim=0)) == vocabulary.size


def test_the_least_significant_digit_comes_first():
    assert Vocabulary((512, 125)).to_digits(torch.tensor(3 + 512 * 7)).tolist() == [3, 7]
    assert Vocabulary((3, 2, 2)).to_digits(torch.tensor([[2, 11]])).tolist() == [[[2, 0, 0], [2, 1, 1]]]


def test_the_mask_is_one_past_the_ids_and_has_the_digits_of_none():
    vocabulary = Vocabulary((4, 3))
    assert vocabulary.mask == vocabulary.size == 12
    assert vocabulary.to_digits(torch.tensor([12, 11])).tolist() == [[0, 0], [3, 2]]


@pytest.mark.parametrize("digits", [(), (1,), (4, 0), (3, -2)], ids=str)
def test_digits_that_count_nothing_are_refused(digits):
    with pytest.raises(ValueError, match="digits = "):
        Vocabulary(digits)


def test_codes_are_grouped_as_evenly_as_neighbours_allow():
    assert grouped((8, 8, 8, 5, 5, 5)) == (8, 8, 8, 5, 5, 5)
    assert grouped((8, 8, 8, 5, 5, 5), largest=1024) == (512, 125)
    assert grouped([2] * 18) == (4, 16, 16, 16, 16)
    assert grouped([2] * 18, largest=1024) == (512, 512)
    assert grouped([2] * 62) == (4, *[16] * 15)  # without an end, if the same cuts were looked at again and again
    assert grouped((8, 5, 5, 5), largest=1024) == (1000,)
    assert grouped((8, 5, 5, 5), largest=100) == (40, 25)
    assert grouped((1000,)) == (1000,)
    assert grouped((5000,)) == (5000,)  # a radix is not taken apart
    assert grouped((5000, 2)) == (5000, 2)


@given(radices, st.integers(2, 60))
def test_grouping_keeps_the_order_the_size_and_the_limit(code, largest):
    digits = grouped(code, largest)
    assert math.prod(digits) == math.prod(code)
    if max(code) <= largest:
        assert max(digits) <= largest
    ends, running = set(), 1
    for radix in code:
        running *= radix
        ends.add(running)
    running = 1
    for digit in digits:
        running *= digit
        assert running in ends  # so an id is the same number in the code's radices and in digits


@given(radices, st.integers(9, 60))
def test_no_other_grouping_is_shorter_or_more_even(code, largest):
    digits = grouped(code, largest)
    for cuts in range(1 << (len(code) - 1)):
        other = [code[0]]
        for place, radix in enumerate(code[1:]):
            if cuts >> place & 1:
                other.append(radix)
            else:
                other[-1] *= radix
        if max(other) <= largest:
            assert (len(digits), max(digits)) <= (len(other), max(other))


@pytest.mark.parametrize("code", [(), (1, 2), (8, 0)], ids=str)
def test_radices_that_count_nothing_are_refused(code):
    with pytest.raises(ValueError, match="radices = "):
        grouped(code)
