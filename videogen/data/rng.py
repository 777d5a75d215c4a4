"""Random numbers as a function of (seed, epoch, index): the same on any machine, with any number of workers.

Philox is a counter-based generator: the key is (seed, purpose), the counter (0, index, epoch, 0). Only its raw 64-bit
words are used, because NumPy promises that they stay the same between versions, which shuffles do not.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ORDER, AUGMENTATION, MASKING, WINDOW = range(4)


def random_words(seed: int, purpose: int, epoch: int, index: int, count: int) -> NDArray[np.uint64]:
    """`count` uniform 64-bit words; other arguments give independent words."""
    key = np.array([seed, purpose], dtype=np.uint64)
    counter = np.array([0, index, epoch, 0], dtype=np.uint64)
    return np.asarray(np.random.Philox(key=key, counter=counter).random_raw(count), dtype=np.uint64)


def uniform(seed: int, purpose: int, epoch: int, index: int, count: int) -> NDArray[np.float32]:
    """`count` numbers in [0, 1), of 24 bits each."""
    return (random_words(seed, purpose, epoch, index, count) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """A permutation of 0 .. count - 1, read-only."""
    order = np.argsort(random_words(seed, ORDER, epoch, 0, count), kind="stable").astype(np.int64)
    order.flags.writeable = False
    return order


@lru_cache(maxsize=4)
def epoch_places(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The place of each of 0 .. count - 1 in the epoch's order, read-only."""
    places = np.argsort(epoch_order(seed, epoch, count))
    places.flags.writeable = False
    return places


def uniform_index(word: int, count: int) -> int:
    """A uniform 64-bit word as a number in 0 .. count - 1, with a bias below count / 2^64."""
    return (int(word) * count) >> 64
