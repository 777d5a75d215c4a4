"""Sheets show the frames they were given, in order, and every caption has room."""

import numpy as np
import pytest

from videogen.sheet import GAP, contact_sheet, mosaic


def plain(*levels: int, side: int = 10) -> np.ndarray:
    return np.stack([np.full((side, side, 3), level, np.uint8) for level in levels])


def test_frames_stand_side_by_side_in_order() -> None:
    sheet = np.asarray(contact_sheet([plain(10, 60, 110, 160, 210)], ["five"], columns=3, scale=1))
    row = sheet[GAP + 5, :, 0]
    assert [row[GAP + 5 + place * (10 + GAP)] for place in range(3)] == [10, 110, 210]


def test_more_clips_and_longer_captions_take_more_room() -> None:
    one = contact_sheet([plain(1)], ["short"], scale=1)
    assert contact_sheet([plain(1)], ["a much longer caption " * 9], scale=1).height > one.height
    assert contact_sheet([plain(1)] * 3, ["short"] * 3, scale=1).height > 2 * one.height
    assert contact_sheet([], []).height > 0
    with pytest.raises(ValueError, match="2 clips, but 1 captions"):
        contact_sheet([plain(1)] * 2, ["one"])


def test_a_mosaic_plays_all_clips_at_once() -> None:
    clips = [plain(level, level + 1) for level in (10, 20, 30, 40, 50)]
    whole = mosaic(clips, scale=1)
    assert whole.shape == (2, 20, 30, 3)
    assert whole[0, ::10, ::10, 0].tolist() == [[10, 20, 30], [40, 50, 0]]
    assert whole[1, ::10, ::10, 0].tolist() == [[11, 21, 31], [41, 51, 0]]
    assert mosaic(clips, scale=2).shape == (2, 40, 60, 3)
