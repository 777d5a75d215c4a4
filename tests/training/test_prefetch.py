"""Prefetching changes when batches are made, and nothing else."""

import threading
from collections.abc import Generator

import pytest

from videogen.training.prior.stage import prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("videogen-prefetch")]


def test_the_batches_are_the_same() -> None:
    assert list(prefetch(number for number in range(5))) == [0, 1, 2, 3, 4]
    assert list(prefetch(number for number in range(0))) == []
    assert threads() == []


def test_the_next_batch_is_made_while_one_is_used() -> None:
    asked = threading.Event()

    def counting() -> Generator[int]:
        yield 0
        asked.set()
        yield 1

    batches = prefetch(counting())
    assert next(batches) == 0
    assert asked.wait(timeout=600)
    assert list(batches) == [1]


def test_closing_closes_the_source_and_the_thread() -> None:
    closed = []

    def endless() -> Generator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            closed.append(number)

    batches = prefetch(endless())
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    assert len(threads()) == 1
    batches.close()
    assert closed == [3], "one further than was asked for"
    assert threads() == []


def test_an_error_is_raised_in_its_place() -> None:
    def failing() -> Generator[int]:
        yield 0
        raise ValueError("the second batch")

    batches = prefetch(failing())
    assert next(batches) == 0
    with pytest.raises(ValueError, match="the second batch"):
        next(batches)
    assert threads() == []
