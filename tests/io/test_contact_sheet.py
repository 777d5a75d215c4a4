"""Sheets show the given frames in order, and every caption fits."""

import unicodedata

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from videogen.io.contact_sheet import GAP, INK, OTHER_FONT, PAPER, TEXT_SIZE, contact_sheet, mosaic


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
    with pytest.raises(ValueError, match="2 clips"):
        contact_sheet([plain(1)] * 2, ["one"])


def drawn(caption: str) -> np.ndarray:
    return np.asarray(contact_sheet([plain(1, side=112)], [caption], scale=3))


def test_what_pillows_own_font_has_is_drawn_with_it() -> None:
    sheet = Image.fromarray(drawn("a “red” ring, 5 > 4 ~ \\ {x}"))
    top = 3 * 112 + GAP + GAP // 2
    by_hand = Image.new("RGB", sheet.size, PAPER)
    by_hand.paste(sheet.crop((0, 0, sheet.width, top)))
    font = ImageFont.load_default(size=TEXT_SIZE)
    ImageDraw.Draw(by_hand).multiline_text((GAP, top), "a “red” ring, 5 > 4 ~ \\ {x}", INK, font)
    assert np.array_equal(np.asarray(sheet), np.asarray(by_hand))


def test_letters_that_no_font_has_lose_their_accents_instead_of_becoming_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videogen.io.contact_sheet.OTHER_FONT", "none-of-this-name.ttf")
    for accented in ("Ein Café in Düsseldorf, señor", unicodedata.normalize("NFD", "Ein Café in Düsseldorf, señor")):
        assert np.array_equal(drawn(accented), drawn("Ein Cafe in Dusseldorf, senor"))
    assert not np.array_equal(drawn("漢"), drawn("")), "what has no plain form is still seen to be there"


def test_another_font_is_used_where_it_has_the_letters() -> None:
    try:
        font = ImageFont.truetype(OTHER_FONT, TEXT_SIZE)
    except OSError:
        pytest.skip(f"no {OTHER_FONT} on this machine")
    sheet = Image.new("RGB", (350, 30), PAPER)
    ImageDraw.Draw(sheet).text((0, 0), "кот спит", INK, font)
    told = drawn("кот спит")
    ink = (np.asarray(sheet) != PAPER).any(-1)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    letters = np.asarray(sheet)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found = (told[3 * 112 + GAP :] != PAPER).any(-1)
    top, left = np.flatnonzero(found.any(1))[0] + 3 * 112 + GAP, np.flatnonzero(found.any(0))[0]
    assert np.array_equal(told[top : top + letters.shape[0], left : left + letters.shape[1]], letters)


def test_a_mosaic_plays_all_clips_at_once() -> None:
    clips = [plain(level, level + 1) for level in (10, 20, 30, 40, 50)]
    whole = mosaic(clips, scale=1)
    assert whole.shape == (2, 20, 30, 3)
    assert whole[0, ::10, ::10, 0].tolist() == [[10, 20, 30], [40, 50, 0]]
    assert whole[1, ::10, ::10, 0].tolist() == [[11, 21, 31], [41, 51, 0]]
    assert mosaic(clips, scale=2).shape == (2, 40, 60, 3)
