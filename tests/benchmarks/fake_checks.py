"""Checks that end in every possible way, for tests of the runner."""

import os
import time
from collections.abc import Iterator

from benchmarks.gpu_check import Finding


def passes(device: str) -> Iterator[Finding]:
    yield Finding("one thing", "yes", "1 ms", "2 x", f"on {device}", {"seconds": 0.001})
    yield Finding("another | thing", "timed", "3 ms")


def raises(device: str) -> Iterator[Finding]:
    yield Finding("before the mistake", "yes")
    raise ValueError("the kernel does not like this shape")


def hangs(device: str) -> Iterator[Finding]:
    yield Finding("before it hangs", "yes")
    if os.fork() == 0:  # a child, which must be killed too
        time.sleep(600)
    time.sleep(600)
    yield Finding("never", "yes")


def dies(device: str) -> Iterator[Finding]:
    os.abort()
    yield Finding("never", "yes")
