"""Which frames of a stream are encoded as previews."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.serve.test_validation import MASKED
from videogen.serve.engine import broadcast
from videogen.serve.engine.broadcast import Broadcast
from videogen.serve.engine.engine_context import EngineContext
from videogen.serve.limits import ServerLimits
from videogen.serve.media.mp4 import ClipBuffer, probe_format

PICTURES = np.zeros((4, 16, 24, 3), np.uint8)


@pytest.fixture
def jpegs(monkeypatch):
    """One entry for each encoded JPEG."""
    made, encode_jpeg = [], broadcast.encode_jpeg
    monkeypatch.setattr(broadcast, "encode_jpeg", lambda picture: made.append(1) or encode_jpeg(picture))
    return made


def run(scene, expected=True):
    async def play():
        totals = dict.fromkeys(("encoder_seconds", "viewers", "viewers_dropped", "previews_dropped"), 0.0)
        with ThreadPoolExecutor(1) as threads:
            form = probe_format(8.0, 16, 24)
            info = replace(MASKED, mime=form.mime)
            context = EngineContext(info, ServerLimits(), form, lambda message: None, lambda: None, threads, totals)
            channel = Broadcast(context, ClipBuffer(1000, 2**20), lambda: None, expected)
            await scene(channel)
            await channel.close()

    asyncio.run(play())


def test_first_viewer_gets_early_frames(jpegs):
    async def scene(channel):
        await channel.add_frames(PICTURES)
        await channel.add_frames(PICTURES)
        with channel.watch_previews([], []) as viewer:
            assert [(await anext(viewer)).number for _ in range(8)] == list(range(8))
        with channel.watch_previews([], []) as viewer:
            assert not viewer.queue.waiting

    run(scene)


def test_early_frames_beyond_the_limit_are_not_encoded(jpegs):
    """Beyond what the first viewer could get, early frames are discarded, and no more are encoded."""

    async def scene(channel):
        for _ in range(40):
            await channel.add_frames(PICTURES)
        assert len(jpegs) == channel.max_lag * 4
        with channel.watch_previews([], []) as viewer:
            assert not viewer.queue.waiting
            await channel.add_frames(PICTURES)
            assert len(jpegs) == channel.max_lag * 4 + 4
        await channel.add_frames(PICTURES)
        assert len(jpegs) == channel.max_lag * 4 + 4, "nobody looks"

    run(scene)


def test_jobs_keep_no_early_frames(jpegs):
    async def scene(channel):
        for _ in range(5):
            await channel.add_frames(PICTURES)
        assert not jpegs
        with channel.watch_previews([], []) as viewer:
            await channel.add_frames(PICTURES)
            assert len(viewer.queue.waiting) == len(jpegs) == 4

    run(scene, expected=False)
