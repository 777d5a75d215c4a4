"""Reading ahead changes when batches are made, and nothing else."""

import threading
from collections.abc import Generator

import pytest

from videogen.training.prior.stage import prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("videogen-prefetch")]


def test_the_same_batches_come_until_there_are_no_more() -> None:
    assert list(prefetch(number for number in range(5))) == [0, 1, 2, 3, 4]
    assert list(prefetch(number for number in range(0))) == []
    assert threads() == []


def test_while_one_is_worked_with_the_next_is_made() -> None:
    asked = threading.Event()

    def counting() -> Generator[int]:
        yield 0
        asked.set()
        yield 1

    batches = prefetch(counting())
    assert next(batches) == 0
    assert asked.wait(timeout=600)
    assert list(batches) == [1]


def test_closed_it_closes_what_it_reads_and_leaves_no_thread() -> None:
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


def test_what_goes_wrong_is_told_in_its_place() -> None:
    def failing() -> Generator[int]:
        yield 0
        raise ValueError("the second batch")

    batches = prefetch(failing())
    assert next(batches) == 0
    with pytest.raises(ValueError, match="the second batch"):
        next(batches)
    assert threads() == []
