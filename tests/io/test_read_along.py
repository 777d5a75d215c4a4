"""`read_along` gives the frames of single reads and decodes none of them twice."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.io.clips import BY_NAME, make
from videogen.io import Scan, VideoError, read, read_along, scan
from videogen.io.reader import random_access, strict

FRAMES = 60
ONE_KEY = replace(BY_NAME["h264"], name="one-key", options={"g": "1000", "bf": "2", "sc_threshold": "0"})
KINDS = (BY_NAME["h264"], ONE_KEY, *(BY_NAME[name] for name in ("hevc-open-gop", "h264-ts", "h264-variable", "gif")))
WALKS: dict[str, Sequence[int]] = {
    "all": range(FRAMES),
    "the end": range(41, FRAMES),
    "every third, then twice": [*range(0, 30, 3), *(n for n in range(30, 40) for _ in range(2))],
    "few": [5, 5, 5, 29, 30, 58],
    "none": [],
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Scan]]:
    made = {kind.name: make(kind, tmp_path_factory.mktemp("along"), FRAMES) for kind in KINDS}
    return {name: (path, scan(path)) for name, path in made.items()}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The times of all frames that come out of the decoder."""
    times: list[int] = []
    time_of = strict.time_of
    for module in (random_access, strict):
        monkeypatch.setattr(module, "time_of", lambda frame: times.append(time_of(frame)) or times[-1])
    return times


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_they_are_the_frames_of_single_reads(name: str, walk: str, clips: dict[str, tuple[Path, Scan]]) -> None:
    path, seen = clips[name]
    along = list(read_along(path, WALKS[walk], seen))
    assert len(along) == len(WALKS[walk])
    assert all(np.array_equal(one, read(path, [n], seen)[0]) for n, one in zip(WALKS[walk], along, strict=True))


@pytest.mark.parametrize(("name", "groups"), [("h264", 5), ("one-key", 1)])
def test_each_frame_is_decoded_once(
    name: str, groups: int, clips: dict[str, tuple[Path, Scan]], decoded: list[int]
) -> None:
    path, seen = clips[name]
    assert len(seen.keyframes) == groups
    for walk, key in (("all", 0), ("the end", 36 if groups > 1 else 0)):
        decoded.clear()
        for _ in read_along(path, WALKS[walk], seen):
            pass
        assert decoded == list(seen.pts[key:])


def test_groups_in_which_nothing_is_wanted_are_left_out(
    clips: dict[str, tuple[Path, Scan]], decoded: list[int]
) -> None:
    path, seen = clips["h264"]
    assert len(list(read_along(path, [1, 36, 49], seen))) == 3
    assert decoded == [seen.pts[n] for n in (0, 1, 36, 48, 49)]


def test_what_has_changed_is_said_as_by_a_read(clips: dict[str, tuple[Path, Scan]], tmp_path: Path) -> None:
    path, seen = clips["h264"]
    other = replace(seen, hashes=(*seen.hashes[:20], "0" * 16, *seen.hashes[21:]))
    along = read_along(path, range(FRAMES), other)
    assert np.array_equal(np.stack([next(along) for _ in range(20)]), read(path, range(20), seen))
    with pytest.raises(VideoError, match="frame 20") as caught:
        next(along)
    assert caught.value.kind == "changed"
    with pytest.raises(VideoError) as caught:
        list(read_along(make(BY_NAME["h264"], tmp_path, 30), range(FRAMES), seen))
    assert caught.value.kind == "changed"
    with pytest.raises(VideoError) as caught:
        list(read_along(path, [0, FRAMES], seen))
    assert caught.value.kind == "range"
