"""Which frames of a stream are encoded as previews."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.serve.test_validation import MASKED
from videogen.serve.engine import broadcast as broadcast
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


def played(scene, expected=True):
    async def play():
        totals = dict.fromkeys(("encoder_seconds", "viewers", "viewers_dropped", "previews_dropped"), 0.0)
        with ThreadPoolExecutor(1) as threads:
            form = probe_format(8.0, 16, 24)
            info = replace(MASKED, mime=form.mime)
            context = EngineContext(info, ServerLimits(), form, lambda message: None, lambda: None, threads, totals)
            show = Broadcast(context, ClipBuffer(1000, 2**20), lambda: None, expected)
            await scene(show)
            await show.close()

    asyncio.run(play())


def test_first_viewer_gets_early_frames(jpegs):
    async def scene(show):
        await show.add_frames(PICTURES)
        await show.add_frames(PICTURES)
        with show.watch_previews([], []) as viewer:
            assert [(await anext(viewer)).number for _ in range(8)] == list(range(8))
        with show.watch_previews([], []) as viewer:
            assert not viewer.queue.waiting

    played(scene)


def test_early_frames_beyond_the_limit_are_not_encoded(jpegs):
    """Beyond what the first viewer could get, early frames are discarded, and no more are encoded."""

    async def scene(show):
        for _ in range(40):
            await show.add_frames(PICTURES)
        assert len(jpegs) == show.max_lag * 4
        with show.watch_previews([], []) as viewer:
            assert not viewer.queue.waiting
            await show.add_frames(PICTURES)
            assert len(jpegs) == show.max_lag * 4 + 4
        await show.add_frames(PICTURES)
        assert len(jpegs) == show.max_lag * 4 + 4, "nobody looks"

    played(scene)


def test_jobs_keep_no_early_frames(jpegs):
    async def scene(show):
        for _ in range(5):
            await show.add_frames(PICTURES)
        assert not jpegs
        with show.watch_previews([], []) as viewer:
            await show.add_frames(PICTURES)
            assert len(viewer.queue.waiting) == len(jpegs) == 4

    played(scene, expected=False)
