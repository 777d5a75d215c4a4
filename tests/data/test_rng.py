"""Random numbers are a function of their arguments, in any version of NumPy."""

import numpy as np

from videogen.data.rng import AUGMENTATION, ORDER, epoch_order, random_words, uniform_index


def test_words_do_not_change_with_versions_or_machines() -> None:
    assert [hex(word) for word in random_words(7, AUGMENTATION, 3, 11, 2)] == [
        "0x82433581b92914aa",
        "0xd675232673c10584",
    ]
    assert epoch_order(7, 3, 8).tolist() == [2, 4, 0, 6, 7, 5, 1, 3]


def test_an_order_is_a_permutation_of_its_own() -> None:
    orders = [epoch_order(seed, epoch, 100) for seed in range(3) for epoch in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)


def test_all_arguments_count_and_neighbours_share_nothing() -> None:
    places = [
        (seed, purpose, epoch, index)
        for seed in (0, 1)
        for purpose in (ORDER, AUGMENTATION)
        for epoch in (0, 1)
        for index in (0, 1, 2)
    ]
    drawn = np.concatenate([random_words(*place, 8) for place in places])
    assert len(set(drawn.tolist())) == len(drawn)


def test_below_is_even_and_within_bounds() -> None:
    assert [uniform_index(word, 5) for word in (0, 2**64 - 1)] == [0, 4]
    counts = np.bincount([uniform_index(word, 7) for word in random_words(0, 0, 0, 0, 70_000)], minlength=7)
    assert np.abs(counts - 10_000).max() < 500  # five standard deviations
