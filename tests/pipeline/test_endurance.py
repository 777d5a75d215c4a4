"""Long streams, and streams that are interrupted at any moment."""

import gc
import hashlib
import os
import random
import signal
import threading
import weakref
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from interfaces.prior import clone_tensors
from tests.pipeline.tiny import RING, STAR
from videogen.stream import StreamState


class Cancelled(BaseException):
    pass


def bytes_in(tree) -> int:
    if isinstance(tree, tuple):
        return sum(bytes_in(each) for each in tree)
    return getattr(tree, "nbytes", 0)


def resident_mib() -> float:
    """Memory of this process now; 0 where the system does not say."""
    place = Path("/proc/self/statm")
    return int(place.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if place.exists() else 0.0


def cancelled_at_random(pipe, times: int) -> None:
    """A timer interrupts the generation of a frame, like Ctrl-C."""

    def cancel(number, frame):
        raise Cancelled

    draw, before = random.Random(0), (threading.active_count(), open_files())
    previous = signal.signal(signal.SIGALRM, cancel)
    try:
        for _ in range(times):
            stream, broken = pipe.stream(RING, generator=1, num_inference_steps=2), None
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.0005, 0.08))
                for number in range(10_000):
                    stream.prompt = STAR if number % 7 > 3 else RING
                    next(stream)
            except Cancelled:
                broken = stream._closed
            assert broken is not None
            assert not broken or list(islice(stream, 1)) == []
            stream.close()
            left = weakref.ref(stream)
            del stream
            gc.collect()
            assert left() is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert (threading.active_count(), open_files()) == before


def open_files() -> int:
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else 0


def long_stream(pipe, latent_frames: int, resumed: int) -> None:
    stream = pipe.stream(RING, generator=8, num_inference_steps=2)
    draw = random.Random(1)
    saved: dict[int, tuple[StreamState, list[np.ndarray]]] = {}
    places = {draw.randrange(latent_frames) for _ in range(resumed)}
    digests, sizes, resident = [hashlib.sha256()], set(), []
    for number in range(latent_frames):
        if number in places:
            saved[number] = (clone_tensors(stream.state()), [])
        for frame in islice(stream, 4 if number else 1):
            digests[-1].update(frame.data)
            for start, (_, frames) in saved.items():
                if number - start < 3:
                    frames.append(frame)
        if number % 1000 == 999:
            digests.append(digests[-1].copy())
            resident.append(resident_mib())
        if number > 8 and number % 100 == 0:
            sizes.add(bytes_in(stream.state()))
    assert len(sizes) == 1
    assert len(resident) < 3 or resident[-1] - resident[1] < 8
    for state, frames in saved.values():
        assert np.array_equal(np.stack(list(islice(pipe.restore(state), len(frames)))), np.stack(frames))
    if len(digests) > 1:
        again = pipe.stream(RING, generator=8, num_inference_steps=2, num_frames=1 + 4 * 999)
        digest = hashlib.sha256()
        for frame in again:
            digest.update(frame.data)
        assert digest.digest() == digests[0].digest()


def test_memory_is_constant_and_saved_states_resume(pipe):
    long_stream(pipe, 250, resumed=5)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_interrupting_at_any_moment_leaks_nothing(pipe):
    cancelled_at_random(pipe, 10)


@pytest.mark.slow
def test_ten_thousand_frames(pipe):
    long_stream(pipe, 10_000, resumed=20)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_interrupting_at_two_hundred_moments(pipe):
    cancelled_at_random(pipe, 200)
