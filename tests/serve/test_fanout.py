import asyncio
import random

import pytest

from videogen.serve.engine.fanout import Fanout, FragmentQueue, PreviewEvent, PreviewQueue, Viewer

DEPTH = 3


def video_viewer(backlog=b"head"):
    return Viewer(FragmentQueue(backlog, DEPTH))


async def everything(viewer):
    return [item async for item in viewer]


def test_stalled_viewer_is_dropped_and_others_miss_nothing():
    async def scene():
        fanout, good, bad = Fanout(), video_viewer(), video_viewer()
        fanout.join(good)
        fanout.join(bad)
        reading = asyncio.create_task(everything(good))
        lost = []
        for number in range(50):
            lost.append(fanout.send(b"%d" % number))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        fanout.close()
        assert await reading == [b"head", *(b"%d" % number for number in range(50))]
        assert not good.lost.is_set()
        assert sum(lost) == 1
        assert lost.index(1) == DEPTH  # the backlog has a place of its own
        assert bad.lost.is_set()
        assert await everything(bad) == []

    asyncio.run(scene())


def test_queue_can_be_read_after_the_end():
    async def scene():
        fanout, viewer = Fanout(), video_viewer()
        fanout.join(viewer)
        fanout.send(b"a")
        fanout.close()
        assert await everything(viewer) == [b"head", b"a"]
        late = video_viewer(b"all")
        fanout.join(late)
        assert await everything(late) == [b"all"]

    asyncio.run(scene())


def test_viewer_that_left_gets_nothing():
    async def scene():
        fanout, viewer = Fanout(), video_viewer()
        fanout.join(viewer)
        fanout.leave(viewer)
        fanout.leave(viewer)
        assert fanout.send(b"a") == 0
        assert not fanout.viewers

    asyncio.run(scene())


def test_cancelled_read_loses_nothing():
    async def scene():
        viewer = video_viewer()
        assert await anext(viewer) == b"head"
        waiting = asyncio.create_task(anext(viewer))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        viewer.send(b"a")
        assert await anext(viewer) == b"a"

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(20))
def test_slow_preview_viewer_gets_the_latest_in_order(seed):
    """For any interleaving of writes and reads, the queue is bounded, and marks and the end are never lost."""

    async def scene():
        draw, drops = random.Random(seed), []
        viewer = Viewer(PreviewQueue(4, lambda: drops.append(1)))
        got, pictures, marks = [], 0, 0
        for _ in range(300):
            kind = draw.choice(["frame"] * 6 + ["mask"] * 3 + ["stats", "mark"])
            pictures += kind == "frame"
            marks += kind == "mark"
            assert viewer.send(PreviewEvent(kind, pictures, b"x" if kind == "frame" else None, {"n": pictures}))
            waiting = [item.kind for item in viewer.queue.waiting]
            assert waiting.count("frame") <= 4
            assert waiting.count("mask") <= 1
            assert waiting.count("stats") <= 1
            if draw.random() < 0.5 and waiting:
                got.append(await anext(viewer))
        viewer.send(PreviewEvent("end", pictures))
        viewer.close()
        got += await everything(viewer)
        shown = [item.number for item in got if item.kind == "frame"]
        assert shown == sorted(shown)
        assert shown[-1] == pictures
        assert len(shown) + len(drops) == pictures
        assert sum(item.kind == "mark" for item in got) == marks
        assert got[-1].kind == "end"

    asyncio.run(scene())
