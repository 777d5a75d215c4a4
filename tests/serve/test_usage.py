"""The speed of a stream."""

from dataclasses import replace

import pytest

from videogen.serve.engine.engine import COUNTERS
from videogen.serve.engine.usage import SPEED_WINDOW, StreamUsage
from videogen.serve.messages import FrameBatch

PICTURES = FrameBatch("1", 5, 4, "x", True, False, 1, 6, 0.25, 0.5, 1.5)


def account() -> StreamUsage:
    return StreamUsage(dict.fromkeys(COUNTERS, 0.0), fps=8.0)


def made(first: int, seconds: float, count: int = 4, latent_frames: int = 1):
    return replace(PICTURES, first=first, count=count, latent_frames=latent_frames, seconds=seconds)


def test_speed_over_the_last_seconds_of_video():
    ours = account()
    assert ours.report()["speed"] is None
    ours.add(made(0, 30.0, count=1), 30.0)
    assert ours.report()["speed"] is None, "the first picture has waited for text and clip"
    for number in range(10):
        ours.add(made(1 + 4 * number, 8.0), 30.0)
    assert ours.report()["speed"] == pytest.approx(0.5 / 8, abs=0.001), "four pictures of half a second took eight"
    for number in range(int(SPEED_WINDOW * 2)):
        ours.add(made(41 + 4 * number, 0.25), 30.0)
    assert ours.report()["speed"] == 2.0, "and what was slow is over"


def test_initial_image_does_not_count_for_speed():
    ours = account()
    ours.add(made(5, 9.0, latent_frames=0), 1.0)
    assert ours.report()["speed"] is None
