"""Reading ahead: while a step is computed, the batch of the next one is made ready."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")


def one_ahead(batches: Generator[T]) -> Generator[T]:
    """The same batches, each made in a thread while the one before it is worked with; `batches` is closed with it.

    A batch says itself where the next one begins: one that was made and never asked for leaves no trace.
    """
    end = object()  # for a future cannot carry StopIteration
    with closing(batches), ThreadPoolExecutor(1, thread_name_prefix="videogen-ahead") as thread:
        coming = thread.submit(next, batches, end)
        while (batch := coming.result()) is not end:
            coming = thread.submit(next, batches, end)
            yield batch  # type: ignore[misc]  # whatever is not the end is a T
